"""The reference profiles that versions were registered with, from their files on this machine."""

from __future__ import annotations

import logging

from monitoring.errors import ProfileDamagedError
from monitoring.profile import ReferenceProfile
from registry.model_cache import ModelCache
from runners.preparation import FAIRMIND_FOLDER

_log = logging.getLogger(__name__)


class RegisteredProfiles:
    """Finds the profile of a version; asked once per version, when its first rows are counted."""

    def __init__(self, cache: ModelCache) -> None:
        self._cache = cache

    def __call__(self, model: str, version: str) -> ReferenceProfile | None:
        """Return the profile of a version; None where it has none, or its files are not here.

        A damaged one is said in the log and is as good as none: nothing that is served waits for it.
        """
        folder = self._cache.find(model, version, None)
        if folder is None:
            return None
        try:
            return ReferenceProfile.load(folder / FAIRMIND_FOLDER)
        except ProfileDamagedError as error:
            _log.warning("%s", error)
            return None
