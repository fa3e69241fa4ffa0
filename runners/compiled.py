"""Compiled forms of foreign versions, kept on this machine under the digest of what they were compiled from."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Final
from uuid import uuid4

from registry.digest import digest_folder
from registry.incoming import incoming, place, write_settled

_CURRENT: Final = "current"
_SHORT: Final = 12


class CompiledCache:
    """Compiled forms under `root/<digest of the version's files>/<digest of the compiled form>/fairmind/`.

    A file beside them names the one that holds, so that taking another one is one step for whoever looks. It is
    compared with the digest it is named by when it is first found: one that was damaged is as good as none.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._intact: dict[Path, bool] = {}

    def find(self, digest: str) -> Path | None:
        """Return the folder (which holds `fairmind/`) of the compiled form, None where there is none."""
        home = self._home(digest)
        try:
            name = (home / _CURRENT).read_text(encoding="utf-8").strip()
        except OSError:
            return None
        folder = home / Path(name).name
        if not name or not folder.is_dir():
            return None
        if folder not in self._intact:
            self._intact[folder] = _name(folder) == folder.name
        return folder if self._intact[folder] else None

    def put(self, digest: str, folder: Path) -> Path:
        """Take the compiled form in `folder` (which holds `fairmind/` and is moved) as the one that holds."""
        home = self._home(digest)
        home.mkdir(parents=True, exist_ok=True)
        name = _name(folder)
        kept = home / name
        if kept.is_dir() and _name(kept) != name:
            kept.rename(home / f".damaged-{uuid4().hex}")
        if not kept.is_dir():
            with incoming(home) as arrived:
                for path in folder.iterdir():
                    shutil.move(path, arrived / path.name)
                place(arrived, kept)
            shutil.rmtree(folder, ignore_errors=True)
        self._intact[kept] = True
        write_settled(home / _CURRENT, name)
        return kept

    def _home(self, digest: str) -> Path:
        return self._root / digest.removeprefix("sha256:")


def _name(folder: Path) -> str:
    return digest_folder(folder).removeprefix("sha256:")[:_SHORT]
