"""`fairmind rollout sign`: the header by which a caller chooses the variant that answers."""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime
from typing import Annotated, Final

import typer

from cli.failures import UsageError
from cli.output import emit_json

_HEADER: Final = "X-Fairmind-Override"
_VARIANT: Final = re.compile(r"champion|challenger(-[2-9])?", re.ASCII)


def register(group: typer.Typer) -> None:
    """Add the command to `fairmind rollout`."""
    group.command()(sign)


def sign(
    model: Annotated[str, typer.Argument(metavar="MODEL")],
    variant: Annotated[str, typer.Argument(metavar="VARIANT", help="champion, challenger, challenger-2 …")],
    lasting: Annotated[
        str, typer.Option("--for", metavar="TIME", help="For how long it holds: 90s, 10m, 2h, at most a day.")
    ] = "1h",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for scripts.")] = False,
) -> None:
    """Sign an override: who sends it as X-Fairmind-Override is answered by that variant, in no comparison."""
    from cli.context import open_context
    from rollout.overrides import LONGEST_SECONDS
    from rollout.overrides import sign as sign_override

    secret = open_context().settings.serving.override_secret
    if secret is None:
        raise UsageError(
            "there is nothing to sign with: set FAIRMIND_BENTOS_OVERRIDE_SECRET to the secret, of at least 16 "
            "characters, that the service has"
        )
    if _VARIANT.fullmatch(variant) is None:
        raise UsageError(f"'{variant}' is no variant: champion, challenger, or challenger-2 to challenger-9")
    expires = int(time.time()) + _seconds(lasting, LONGEST_SECONDS)
    override = sign_override(secret.get_secret_value(), model, variant, expires)
    if as_json:
        until = datetime.fromtimestamp(expires, UTC).isoformat()
        emit_json({"header": _HEADER, "override": override, "expires_at": until})
    else:
        typer.echo(f"{_HEADER}: {override}")


def _seconds(written: str, longest: int) -> int:
    from rollout.durations import parse_duration

    try:
        seconds = float(parse_duration(written))
    except ValueError:
        seconds = -1.0
    if not 1 <= seconds <= longest:
        raise UsageError(f"--for {written}: a time from 1s to {longest // 3_600}h, such as 90s, 10m or 2h")
    return int(seconds)
