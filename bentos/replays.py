"""A replay from what was asked to what was found, with what a deployment holds: registry, model copies, log."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Engine

from bentos.errors import InvalidRequestError
from bentos.version_folders import is_ours
from database.home import Home
from inference.loading import load_model
from monitoring.feature_store import FeatureStore
from monitoring.identifiers import new_request_id
from registry.digest import digest_folder
from registry.model_cache import ModelCache
from registry.reference import CHALLENGER, Reference
from registry.registry import Registry
from registry.versions import ModelVersion
from replay.comparing import Contender
from replay.errors import NotComparableError, NotCompiledError
from replay.replaying import run
from replay.request import ReplayRequest
from replay.result import ReplayResult
from replay.store import Asked
from replay.window import Window
from rollout.plan import Plan
from runners.compiled import CompiledCache
from runners.preparation import FAIRMIND_FOLDER


@dataclass(frozen=True, slots=True)
class Replays:
    """What a replay needs of a deployment."""

    home: Home
    log: Engine
    store: FeatureStore
    registry: Registry

    def ask(self, request: ReplayRequest, *, actor: str, now: datetime) -> Asked:
        """Return what is asked for with its versions pinned.

        Raises:
            InvalidRequestError: A version and an alias are both named, or the plan is another model's.
            InvalidPlanError: The plan has a wrong key.
            ModelNotFoundError: There is no such version.
        """
        if request.version is not None and request.alias is not None:
            raise InvalidRequestError("version and alias both name the challenger: give one")
        plan = None if request.plan is None else Plan.parse(request.plan)
        if plan is not None and plan.model != request.model:
            raise InvalidRequestError(f"the plan is of model '{plan.model}'; the replay is of '{request.model}'")
        alias = None if request.version is not None else request.alias or CHALLENGER
        challenger = self.registry.find(Reference(request.model, version=request.version, alias=alias))
        is_number = request.against.isdigit()
        named = {"version": request.against} if is_number else {"alias": request.against}
        return Asked(
            id=f"rp-{new_request_id()}",
            challenger=challenger,
            against=self.registry.find(Reference(request.model, **named)),
            since=now - request.window,
            until=now,
            actor=actor,
            request=request.model_dump(mode="json"),
        )

    def run(
        self, asked: Asked, *, now: datetime, told: Callable[[int, int], None] = lambda _done, _of: None
    ) -> ReplayResult:
        """Return what a replay finds.

        Raises:
            ReplayError: There is nothing to replay, or the versions cannot be compared.
            RegistryError: A version's files cannot be had.
            OSError: The feature store cannot be reached.
        """
        request = ReplayRequest.model_validate(asked.request)
        window = Window(self.log, self.store, request.model, asked.since, asked.until)
        return run(
            asked.id,
            window,
            self._contender(asked.challenger),
            self._contender(asked.against),
            plan=None if request.plan is None else Plan.parse(request.plan),
            maturity=request.label_maturity,
            now=now,
            told=told,
        )

    def again(self, replay_id: str, row: Any, request: dict[str, Any]) -> Asked:
        """Return what was asked for when a stored replay was; of versions by number.

        Raises:
            ModelNotFoundError: A version is not there any more.
            NotComparableError: Its number has been given to other files since.
        """
        challenger, against = (
            self._same(Reference(row.model, version=version), digest)
            for version, digest in (
                (row.challenger_version, row.challenger_digest),
                (row.against_version, row.against_digest),
            )
        )
        return Asked(replay_id, challenger, against, row.since, row.until, row.actor, request)

    def _same(self, reference: Reference, digest: str | None) -> ModelVersion:
        found = self.registry.find(reference)
        if found.digest != digest:
            raise NotComparableError(f"{found} has other files than when the replay was asked for; ask again")
        return found

    def _contender(self, version: ModelVersion) -> Contender:
        folder = ModelCache(self.home.models).fetch(self.registry, version)
        if not is_ours(folder):
            compiled = CompiledCache(self.home.compiled).find(digest_folder(folder))
            if compiled is None:
                raise NotCompiledError(str(version))
            folder = compiled
        return Contender(version, load_model(folder / FAIRMIND_FOLDER))
