"""`fairmind doctor`: what is reachable, what is missing, and how to mend it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from cli.failures import FAILED
from cli.output import emit_json, results, table

if TYPE_CHECKING:
    import ssl

    from bentos.settings import ServingSettings
    from cli.context import Context


def register(root: typer.Typer) -> None:
    """Add the command to the root command."""
    root.command()(doctor)


def doctor(as_json: Annotated[bool, typer.Option("--json", help="Print JSON for scripts.")] = False) -> None:
    """Check the settings, the databases, the registry and the server; exit 1 when something is amiss."""
    from cli.context import open_context

    context = open_context()
    checks: dict[str, Callable[[], str]] = {
        "home": lambda: str(context.home.root),
        "control database": lambda: context.control.url.render_as_string(hide_password=True),
        "prediction log": lambda: context.log.url.render_as_string(hide_password=True),
        "registry": lambda: f"{len(context.registry.names())} models at {context.tracking_uri}",
        "server": lambda: _server(context.settings.serving),
        "tracking": lambda: _tracking(context),
    }
    found = []
    for name, check in checks.items():
        try:
            found.append({"check": name, "ok": True, "detail": check()})
        except Exception as error:  # whatever it is, the other checks go on
            found.append({"check": name, "ok": False, "detail": str(error)})
    if as_json:
        emit_json({"checks": found})
    else:
        shown = table("Doctor", "", "check", "detail")
        for row in found:
            shown.add_row(
                "[green]ok[/green]" if row["ok"] else "[red]amiss[/red]",
                str(row["check"]),
                escape(str(row["detail"])),
            )
        results.print(shown)
    if not all(row["ok"] for row in found):
        raise typer.Exit(FAILED)


def _server(serving: ServingSettings) -> str:
    import httpx

    is_tls = serving.tls_certificate is not None
    url = f"http{'s' if is_tls else ''}://{serving.host}:{serving.port}"
    try:
        answer = httpx.get(f"{url}/readyz", timeout=2, trust_env=False, verify=_whoever_it_is() if is_tls else True)
    except httpx.ConnectError:
        raise ConnectionError(f"nothing answers at {url}; start it with `fairmind serve`") from None
    except httpx.HTTPError:
        if serving.tls_client_ca is not None:
            return f"at {url}, for clients with a certificate only: whether it is ready, they have to ask"
        raise ConnectionError(f"what listens at {url} does not answer; look at its log") from None
    problems = answer.json().get("problems", {})
    if problems:
        raise ConnectionError("; ".join(f"{name}: {problem}" for name, problem in problems.items()))
    return f"ready at {url}"


def _tracking(context: Context) -> str:
    problems = context.tracker.problems()
    if problems:
        raise ConnectionError("; ".join(f"{name}: {problem}" for name, problem in problems.items()))
    names = " and ".join(context.tracker.providers)
    return f"results of tests go to {names}" if names else "results of tests go nowhere (MLOPS_PROVIDER=none)"


def _whoever_it_is() -> ssl.SSLContext:
    """Return what speaks TLS with anybody: the certificate is for the name that others know this machine by."""
    import ssl

    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
