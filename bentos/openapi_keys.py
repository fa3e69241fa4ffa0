"""What the OpenAPI document says of keys: which operations ask for one, and what they answer without."""

from __future__ import annotations

from typing import Any, Final

from bentos.admission import needed_for

_TEXT: Final = {"schema": {"type": "string"}}
_CHALLENGE: Final = {
    "WWW-Authenticate": {"description": "How to send a key, and what is wrong with this one."} | _TEXT
}
_WAIT: Final = {
    "Retry-After": {"description": "Seconds to wait; of 429 and 503.", "schema": {"type": "integer", "minimum": 1}}
}
KEY: Final[list[dict[str, list[str]]]] = [{"key": []}, {}]
"""A key, or none: on loopback, and where everybody is let in, requests need none."""


def tell_of_keys(paths: dict[str, Any]) -> None:
    """Add to each operation that may ask for a key how it refuses, in the shape of its other refusals.

    Args:
        paths: The document's paths, each operation with a response `4XX`; changed in place.
    """
    for path, operations in paths.items():
        for method, operation in operations.items():
            needed = needed_for(method.upper(), path)
            if not needed:
                operation["security"] = []
                continue
            operation["security"] = KEY
            responses, scopes = operation["responses"], " or ".join(sorted(f"`{scope}`" for scope in needed))
            content = responses["4XX"]["content"]
            for status, description, headers in (
                ("401", "A key is needed and there is none, or it is not valid.", _CHALLENGE),
                (
                    "403",
                    f"The key has not the scope {scopes}, or nobody may, for what the message says.",
                    _CHALLENGE,
                ),
                ("429", "The key comes more often than it may.", _WAIT),
            ):
                responses[status] = {"description": description, "headers": headers, "content": content}
            responses["5XX"].setdefault("headers", _WAIT)
