"""A version's files made to answer: compiled, or in a process of its own that ends afterwards."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Final

from bentos.configuration import Settings
from bentos.stores import open_preparer
from bentos.version_folders import is_ours
from database.home import Home
from inference.errors import RuntimeLoadError
from inference.loading import load_model
from inference.runtime import RemoteRuntime
from inference.served_model import ServedModel
from registry.digest import digest_folder
from runners.compiled import CompiledCache
from runners.loading import load_runner
from runners.preparation import FAIRMIND_FOLDER

_LOADED: Final = 4


def version_opener(
    settings: Settings, home: Home, *, prepares: bool
) -> Callable[[Path], AbstractContextManager[ServedModel]]:
    """Return what yields the model in a folder of verified files, as workers would load it.

    Args:
        settings: How models of others are run.
        home: Where their prepared and compiled forms are.
        prepares: Whether one that is not prepared yet is, which may take minutes; else it is a RuntimeLoadError.
    """
    preparer, compiled = open_preparer(settings, home), CompiledCache(home.compiled)
    load = lru_cache(_LOADED)(load_model)
    turn = threading.Lock()  # a compiled runtime is safe from one thread at a time

    @contextmanager
    def opened(folder: Path) -> Iterator[ServedModel]:
        form = folder if is_ours(folder) else compiled.find(digest_folder(folder))
        if form is not None:
            with turn:
                yield load(form / FAIRMIND_FOLDER)
            return
        into = home.prepared / folder.parent.name / folder.name
        if not prepares and not preparer.is_ready(into):
            raise RuntimeLoadError(str(folder), "it has to be prepared first, which `fairmind reproduce` does")
        served = load_runner(preparer.prepare(folder, into), settings.runners)
        try:
            yield served
        finally:
            if isinstance(served.runtime, RemoteRuntime):
                served.runtime.close()

    return opened
