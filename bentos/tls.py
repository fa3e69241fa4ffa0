"""TLS of both ports, by the same certificate: what BentoML is told for HTTP, and whether the files can be used."""

from __future__ import annotations

import ssl
import sys
from typing import Any

from bentos.settings import ServingSettings


def http_options(serving: ServingSettings) -> dict[str, Any]:
    """Return what BentoML's service takes as `ssl`: the settings' files, nothing where there are none."""
    if serving.tls_certificate is None or serving.tls_key is None:
        return {"enabled": False}
    options: dict[str, Any] = {
        "enabled": True,
        "certfile": str(serving.tls_certificate),
        "keyfile": str(serving.tls_key),
    }
    if serving.tls_client_ca is not None:
        options |= {"ca_certs": str(serving.tls_client_ca), "cert_reqs": int(ssl.CERT_REQUIRED)}
    return options


def tls_or_exit(serving: ServingSettings) -> None:
    """End the process with one line on standard error and status 2 where the files are no certificate and its key.

    For BentoML's supervisor, before it starts a worker: one that cannot read them would be started again for ever.
    """
    if serving.tls_certificate is None or serving.tls_key is None:
        return
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    what = "FAIRMIND_BENTOS_TLS_CERTIFICATE and FAIRMIND_BENTOS_TLS_KEY are not a certificate and its key, in PEM"
    try:
        # An encrypted key would be asked for on the terminal, by every worker anew.
        context.load_cert_chain(serving.tls_certificate, serving.tls_key, password=_no_password)
        if serving.tls_client_ca is not None:
            what = "FAIRMIND_BENTOS_TLS_CLIENT_CA holds no certificate, in PEM"
            context.load_verify_locations(serving.tls_client_ca)
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", None) or getattr(error, "strerror", None) or "the key is encrypted"
        sys.stderr.write(f"error: {what} ({reason})\n")
        raise SystemExit(2) from None


def _no_password() -> str:
    raise ValueError
