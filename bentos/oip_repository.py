"""The model repository extension of the Open Inference Protocol: an index of what is, and is to be, served.

Loading and unloading are the registry's business here: a version is served because an alias points at it.
"""

from __future__ import annotations

from typing import Any, Final

from bentos.errors import MalformedRequestError
from bentos.wire import parse_json
from bentos.worker import SERVING_STATE, Worker

READY, UNAVAILABLE, LOADING = "READY", "UNAVAILABLE", "LOADING"
_BEING_LOADED: Final = "is being loaded"


def parse_index(content: bytes) -> bool:
    """Return whether a request for the index asks for what is ready alone; an empty body asks for all.

    Raises:
        MalformedRequestError: The body is neither empty nor an object whose `ready` is true or false.
    """
    body = parse_json(content) if content.strip() else {}
    ready = body.get("ready", False) if type(body) is dict else None
    if type(ready) is not bool:
        raise MalformedRequestError("the body must be empty or an object whose 'ready' is true or false")
    return ready


def index(worker: Worker, *, ready_only: bool) -> list[dict[str, Any]]:
    """Return an entry per version: those that are served, and those that should be and are not, with the reason.

    Where a model has no version that could be served, the entry's version is the empty string.
    """
    entries = [
        {"name": served.model, "version": variant.version, "state": READY, "reason": ""}
        for served in worker.models.values()
        for variant in served.variants()
    ]
    if ready_only:
        return entries
    there = {(entry["name"], entry["version"]) for entry in entries}
    for reference, problem in worker.problems.items():
        name, _, version = reference.partition("/")
        if reference != SERVING_STATE and (name, version) not in there:
            state = LOADING if problem == _BEING_LOADED else UNAVAILABLE
            entries.append({"name": name, "version": version, "state": state, "reason": problem})
    return entries
