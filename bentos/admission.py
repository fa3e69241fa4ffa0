"""Who may do what over the network: what each route needs, and whether the key that came with a request has it."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from access.errors import KeyRequiredError, ScopeMissingError
from access.keyring import Keyring
from access.principal import ANYONE, Principal
from access.scopes import Scope

Needed = frozenset[Scope]
"""The scopes of which any one will do; none at all where everybody may."""

OPEN: Final[Needed] = frozenset()
PREDICT: Final[Needed] = frozenset({Scope.PREDICT})
METADATA: Final[Needed] = frozenset({Scope.READ, Scope.PREDICT})
READ: Final[Needed] = frozenset({Scope.READ})
BIAS: Final[Needed] = frozenset({Scope.BIAS})
OUTCOME: Final[Needed] = frozenset({Scope.OUTCOME})
ATTRIBUTE: Final[Needed] = frozenset({Scope.ATTRIBUTE})
ROLLOUT: Final[Needed] = frozenset({Scope.ROLLOUT})
APPROVE: Final[Needed] = frozenset({Scope.APPROVE})
ADMIN: Final[Needed] = frozenset({Scope.ADMIN})

_BEARER: Final = b"bearer "
_READING: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_PROBES: Final = frozenset({"/livez", "/readyz", "/healthz", "/ping", "/health"})
# What the API looks like, which is the same in every deployment and in the source: a browser shows these pages
# without a key, and BentoML's clients read the schema before anything else.
_DESCRIPTIONS: Final = frozenset({"/", "/schema.json", "/docs.json", "/api/v1/docs", "/api/v1/openapi.json"})
_ASSETS: Final = "/static_content/"
_POSTED: Final = {
    "outcomes": OUTCOME,
    "attributes": ATTRIBUTE,
    "bias-tests": BIAS,
    "bias-v2": BIAS,
    "datasets": BIAS,
    "replays": BIAS,
    "explanations": BIAS,  # show a row
    "rollouts": ROLLOUT,
}


class Admission:
    """Lets requests in by their keys.

    Args:
        keyring: The keys there are.
        required: Whether a request without a key is refused. On loopback it is served, with all there is.
    """

    def __init__(self, keyring: Keyring, *, required: bool) -> None:
        self._keyring, self._required = keyring, required

    def admit(self, authorization: bytes | None, needed: Needed) -> Principal:
        """Return who sends a request.

        Args:
            authorization: The value of the header, or of the gRPC metadata, of that name; None without one.
            needed: What the request needs, as `needed_for` says.

        Raises:
            KeyRequiredError: It has no key, and one is required.
            KeyRefusedError, RateLimitError, KeysUnavailableError: Its key is not accepted; also where none is
                required.
            ScopeMissingError: The key may not do this.
        """
        if not needed:
            return ANYONE
        if authorization is None or authorization[:7].lower() != _BEARER:
            if self._required:
                raise KeyRequiredError
            return ANYONE
        principal = self._keyring.admit(authorization[7:].strip())
        if needed.isdisjoint(principal.scopes):
            raise ScopeMissingError(principal.id, needed)
        return principal


@lru_cache(maxsize=1024)
def needed_for(method: str, path: str) -> Needed:
    """Return the scopes of which a request needs one.

    What no rule knows needs `read` where it only reads, and `admin` where it may change something.
    """
    reads = method in _READING
    if path in _PROBES or (reads and (path in _DESCRIPTIONS or path.startswith(_ASSETS))):
        return OPEN
    # Empty parts count for nothing, as for the routes of the Open Inference Protocol.
    needed = READ if reads else ADMIN
    match [part for part in path.split("/") if part]:
        case ["v2", "health", *_]:
            needed = OPEN
        case ["predict" | "invocations"] | ["v2", "models", *_, "infer"] | ["models", *_, "invocations"]:
            needed = PREDICT
        case ["v1", "models", *_, named] if named.endswith(":predict"):
            needed = PREDICT
        case ["v2", "repository", "index"]:
            needed = READ
        case ["v2", *_] | ["v1", "models", *_] | ["version"] if reads:
            needed = METADATA
        case ["bias_test"]:
            needed = BIAS
        case ["api", "v1", "bias-v2", "datasets", _]:
            needed = BIAS  # shows rows
        case ["api", "v1", "predictions", _, "features"]:
            needed = BIAS
        case ["api", "v1", "rollouts", *_, "approve"] if not reads:
            needed = APPROVE
        case ["api", "v1", kind, *_] if not reads:
            needed = _POSTED.get(kind, ADMIN)
    return needed
