"""`/api/v1/variants`: servers of somebody's as versions of models."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from fastapi import APIRouter
from pydantic import Field

from bentos.companion import Companion
from bentos.rollout_routes import Actor
from bentos.variants import Variants, parse_signature
from inference.signature import Signature
from registry.reference import Reference
from remotes.making import RemoteWish


class NewVariant(RemoteWish):
    """A remote variant to register as the newest version of model `name`.

    `signature` is what it takes, where the server does not say: a registered version (`employment/2`) that takes
    the same, or an object with `columns` (each `name`, `type`, `nullable`) and `classes`. With `alias` it is
    promoted although no gate was measured on it, on record.
    """

    name: str = Field(min_length=1, max_length=200)
    signature: str | dict[str, Any] | None = None
    alias: str | None = Field(default=None, min_length=1, max_length=100)


def variant_routes(companion: Companion) -> APIRouter:
    """Return the routes over the companion's registry."""
    router = APIRouter(prefix="/api/v1/variants", tags=["variants"])
    variants = Variants(
        companion.registry,
        companion.cache,
        companion.control,
        companion.wanted,
        companion.settings.registry.is_trusted,
    )

    def told_signature(told: str | dict[str, Any]) -> Signature:
        return variants.signature_of(Reference.parse(told)) if isinstance(told, str) else parse_signature(told)

    @router.get("")
    def list_variants() -> dict[str, Any]:
        """Return all remote variants, and what is amiss with those that are to serve."""
        return {"variants": variants.listed(), "problems": companion.remotes.problems()}

    @router.post("", status_code=201)
    def add_variant(wanted: NewVariant, actor: Actor) -> dict[str, Any]:
        """Ask the server what it is, try it with a made-up row, and register it."""
        signature = None if wanted.signature is None else told_signature(wanted.signature)
        wish = RemoteWish.model_validate(wanted.model_dump(exclude={"name", "signature", "alias"}))
        added = variants.add(wanted.name, wish, signature, alias=wanted.alias, actor=actor, now=datetime.now(UTC))
        companion.aliases_moved()
        return added.to_dict()

    @router.post("/{name}/{version}/check")
    def check_variant(name: str, version: str) -> dict[str, Any]:
        """Ask a remote variant's server whether it is ready and with which version; changes nothing."""
        return variants.check(Reference(name, version=version))

    return router
