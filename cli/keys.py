"""`fairmind keys`: API keys, made, listed and revoked."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer
from rich.markup import escape

from cli.output import console, emit_json, results, table

app = typer.Typer(help="API keys: what a caller beyond this machine needs.", no_args_is_help=True)

Json = Annotated[bool, typer.Option("--json", help="Print JSON for scripts.")]


def register(root: typer.Typer) -> None:
    """Add the commands to the root command."""
    root.add_typer(app, name="keys")


@app.command()
def create(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Whose it is, or what for.")],
    scopes: Annotated[
        str,
        typer.Option(
            help="What it may do, comma-separated: "
            "predict, outcome, attribute, read, bias, rollout, approve, admin."
        ),
    ],
    rate: Annotated[float | None, typer.Option(help="Most requests per second; left out, as many as come.")] = None,
    expires: Annotated[
        float | None, typer.Option(metavar="DAYS", help="Days until it expires; left out, it does not.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Make an API key and print it, this once: only its hash is kept."""
    from access.errors import InvalidKeyError
    from access.key_store import create as create_key
    from access.key_store import publish
    from cli.context import open_context

    context, now = open_context(), datetime.now(UTC)
    try:
        expires_at = None if expires is None else now + timedelta(days=expires)
    except (OverflowError, ValueError):
        raise InvalidKeyError("no calendar has so many days") from None
    key, token = create_key(
        context.control,
        name,
        [scope.strip() for scope in scopes.split(",") if scope.strip()],
        actor=context.actor,
        now=now,
        requests_per_second=rate,
        expires_at=expires_at,
    )
    publish(context.control, context.home.api_keys)
    if as_json:
        emit_json({**key.to_dict(now), "key": token.text})
        return
    console.print(f"key {key.id} may {', '.join(key.scopes)}; nobody can show it again, so keep it now:")
    results.print(token.text, markup=False, soft_wrap=True)


@app.command("list")
def list_keys(as_json: Json = False) -> None:
    """List all keys there ever were, newest first."""
    from access.key_store import keys
    from cli.context import open_context

    found, now = keys(open_context().control), datetime.now(UTC)
    if as_json:
        emit_json({"keys": [key.to_dict(now) for key in found]})
        return
    if not found:
        results.print("no keys yet: make one with `fairmind keys create NAME --scopes predict,read`")
        return
    shown = table("Keys", "id", "name", "state", "scopes", "rate", "created (UTC)", "by", "expires (UTC)")
    for key in found:
        shown.add_row(
            key.id,
            escape(key.name),
            key.state(now),
            ", ".join(key.scopes),
            "-" if key.requests_per_second is None else f"{key.requests_per_second:g}/s",
            f"{key.created_at:%Y-%m-%d %H:%M}",
            escape(key.created_by),
            "-" if key.expires_at is None else f"{key.expires_at:%Y-%m-%d %H:%M}",
        )
    results.print(shown)


@app.command()
def revoke(key_id: Annotated[str, typer.Argument(metavar="ID")], as_json: Json = False) -> None:
    """Take a key back for good; servers refuse it within a second."""
    from access.key_store import publish
    from access.key_store import revoke as revoke_key
    from cli.context import open_context

    context, now = open_context(), datetime.now(UTC)
    revoked = revoke_key(context.control, key_id, now=now)
    publish(context.control, context.home.api_keys)
    if as_json:
        emit_json(revoked.to_dict(now))
        return
    results.print(f"key {revoked.id} ({revoked.name}) is revoked", markup=False)
