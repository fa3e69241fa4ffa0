"""Signed overrides: a caller with the secret's signature chooses the variant that answers, and is in no evidence.

An override is the text `<variant>;<expiry>;<signature>`. The expiry is in whole seconds since 1970, at most a day
ahead; the signature is HMAC-SHA256 over the model, the variant and the expiry, in hexadecimal.
"""

from __future__ import annotations

import hmac
import re
from typing import Final

from rollout.errors import OverrideRefusedError

LONGEST_SECONDS: Final = 24 * 60 * 60
"""How far ahead an override may expire."""

_FORM: Final = re.compile(r"([a-z0-9-]{1,20});([0-9]{1,12});([0-9a-f]{64})", re.ASCII)


def sign(secret: str, model: str, variant: str, expires: int) -> str:
    """Return the override that lets `variant` answer requests to `model` until `expires`, seconds since 1970.

    >>> sign("secret", "credit", "challenger", 1_700_000_000)[:36]
    'challenger;1700000000;8be8e7ce2d6427'
    """
    return f"{variant};{expires};{_signature(secret, model, variant, expires)}"


def check(secret: str | None, model: str, override: str, now: float) -> str:
    """Return the variant that an override names. Takes the same time wherever a signature is wrong.

    Args:
        secret: What overrides are signed with; None: there is none, and every override is refused.
        model: What the request asks for.
        override: As it came.
        now: Seconds since 1970.

    Raises:
        OverrideRefusedError: It is not of that form, signed with another secret or for another model, expired, or
            it expires too late.
    """
    if secret is None:
        raise OverrideRefusedError("none is taken here: FAIRMIND_BENTOS_OVERRIDE_SECRET is unset")
    match = _FORM.fullmatch(override)
    if match is None:
        raise OverrideRefusedError("its form is `<variant>;<expiry, unix seconds>;<HMAC-SHA256, hexadecimal>`")
    variant, expires, signature = match[1], int(match[2]), match[3]
    if not hmac.compare_digest(_signature(secret, model, variant, expires), signature):
        raise OverrideRefusedError("its signature is not that of this model, variant and expiry")
    if expires <= now:
        raise OverrideRefusedError("it has expired; have another one signed")
    if expires > now + LONGEST_SECONDS:
        raise OverrideRefusedError("it expires more than a day ahead")
    return variant


def _signature(secret: str, model: str, variant: str, expires: int) -> str:
    # Nothing but the model may hold the separator, and the model stands last.
    signed = f"fairmind-override-v1\x1f{variant}\x1f{expires}\x1f{model}"
    return hmac.new(secret.encode(), signed.encode(), "sha256").hexdigest()
