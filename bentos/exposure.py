"""Where the service listens, and that it does not listen to everybody by accident."""

from __future__ import annotations

import ipaddress
import sys
from datetime import UTC, datetime

from bentos.configuration import Settings
from bentos.errors import InsecureError
from database.errors import DatabaseError


def is_loopback(host: str) -> bool:
    """Return whether only this machine reaches an address.

    Raises:
        ValueError: It is none; BentoML listens on addresses, not on names.
    """
    return ipaddress.ip_address(host).is_loopback


def check_exposure(settings: Settings, host: str) -> None:
    """Refuse to listen beyond loopback while there is no API key, unless the settings say that this is wanted.

    Where there are keys, the file that workers follow is brought up to date: what an earlier run left there may
    hold keys that were revoked since, and workers are ready before the Companion is.

    Raises:
        InsecureError: It would be open to everybody.
        DatabaseError: Nobody can say which keys there are.
    """
    if settings.serving.insecure or is_loopback(host):
        return
    from access.key_store import has_live_key, publish
    from bentos.stores import open_control, open_home

    home = open_home(settings)
    control = open_control(settings, home)
    try:
        if not has_live_key(control, datetime.now(UTC)):
            raise InsecureError(host)
        publish(control, home.api_keys)
    finally:
        control.dispose()


def safe_or_exit() -> None:
    """End the process with one line on standard error where `check_exposure` refuses.

    For BentoML's supervisor, before it starts a worker: a worker that refuses would be started again for ever.
    """
    host = _host_of_supervisor()
    try:
        check_exposure(Settings.load(), host)
    except (InsecureError, DatabaseError) as error:
        sys.stderr.write(f"error: {error}\n")
        raise SystemExit(2 if isinstance(error, InsecureError) else 1) from None
    except ValueError:
        return  # BentoML itself says that it takes addresses only


def _host_of_supervisor() -> str:
    """Return where `bentoml serve` is about to listen: its option or variable, else what the service declares."""
    import click
    from bentoml._internal.configuration.containers import BentoMLContainer

    context = click.get_current_context(silent=True)
    given = None if context is None else context.params.get("host")
    return str(given or BentoMLContainer.http.host.get())
