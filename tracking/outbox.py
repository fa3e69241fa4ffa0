"""Test results that wait for their providers: files, so that they outlive every process.

    waiting/<time>-<delivery>.<providers>.json   a record, until each of its providers has it
    receipts/<delivery>.<provider>.json          what became of it there
    refused/…                                    records that a provider will never take, or that cannot be read
    state/<provider>.json                        whether the provider answers, for whoever asks

Several processes may add; one at a time delivers to a provider, under a lock. A file is complete as soon as it has
its name, and gone only after all its receipts are there: whoever dies in between, the record is sent again, and the
provider is asked whether it has it already.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import time
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any, Final

import orjson

from tracking.errors import OutboxFullError
from tracking.record import BiasTestRecord
from tracking.settings import Provider

_RECEIPTS: Final = 2_000
_REFUSED: Final = 200
_HALF_WRITTEN_SECONDS: Final = 3600.0
_NAME: Final = re.compile(r"\d{20}-[0-9a-f]{32}\.(wandb|mlflow)(\+(wandb|mlflow))?\.json")


@dataclass(frozen=True, slots=True)
class Entry:
    """A record that waits."""

    path: Path
    delivery_id: str
    providers: tuple[Provider, ...]

    @property
    def added_at(self) -> float:
        """When it was added, in seconds since the epoch."""
        return int(self.path.name.partition("-")[0]) / 1e9


@dataclass(frozen=True, slots=True)
class Receipt:
    """What became of a record at a provider: the run and its address, or why it was refused."""

    run_id: str | None = None
    url: str | None = None
    refused: str | None = None


@dataclass(frozen=True, slots=True)
class ProviderState:
    """Whether a provider answers: the problem of its last attempt, when that was, and when the next one is."""

    problem: str | None = None
    at: float = 0.0
    next_try: float = 0.0


class Outbox:
    """The files of one home.

    Args:
        root: The folder, made when something is added.
        max_waiting: Most records that may wait.
        max_bytes: Most bytes that they may take.
    """

    def __init__(self, root: Path, *, max_waiting: int = 1_000, max_bytes: int = 500_000_000) -> None:
        self._root, self._max_waiting, self._max_bytes = root, max_waiting, max_bytes
        self._waiting, self._receipts = root / "waiting", root / "receipts"
        self._refused, self._state = root / "refused", root / "state"

    def add(self, record: BiasTestRecord, providers: Iterable[Provider]) -> str:
        """Keep a record for its providers and return its delivery id; one that waits already is not kept twice.

        Raises:
            OutboxFullError: As many wait as may.
            OSError: The disk refuses.
        """
        delivery_id, chosen = record.delivery_id, tuple(dict.fromkeys(providers))
        content = record.model_dump_json().encode()
        waiting = self.waiting()
        if any(entry.delivery_id == delivery_id and set(entry.providers) >= set(chosen) for entry in waiting):
            return delivery_id
        if len(waiting) >= self._max_waiting:
            raise OutboxFullError(f"{len(waiting):,} results", "FAIRMIND_TRACKING_MAX_WAITING")
        if sum(_size(entry.path) for entry in waiting) + len(content) > self._max_bytes:
            raise OutboxFullError(f"{self._max_bytes:,} bytes", "FAIRMIND_TRACKING_MAX_WAITING_BYTES")
        for provider in chosen:  # of the same test sent before: it is looked for anew
            self._receipt_path(delivery_id, provider).unlink(missing_ok=True)
        name = f"{time.time_ns():020d}-{delivery_id}.{'+'.join(chosen)}.json"
        _write(self._waiting / name, content)
        return delivery_id

    def sweep(self) -> None:
        """Take away what processes that died have left: half-written files, and records that have all receipts."""
        for folder in (self._waiting, self._receipts, self._state):
            for path in folder.glob(".*"):
                if _age(path) > _HALF_WRITTEN_SECONDS:
                    path.unlink(missing_ok=True)
        for entry in self.waiting():
            if self._is_settled(entry):
                entry.path.unlink(missing_ok=True)

    def waiting(self, provider: Provider | None = None) -> list[Entry]:
        """Return what waits (for a provider), oldest first."""
        try:
            names = sorted(name for name in os.listdir(self._waiting) if _NAME.fullmatch(name))  # noqa: PTH208
        except FileNotFoundError:
            return []
        entries = [_entry(self._waiting / name) for name in names]
        if provider is None:
            return entries
        done = self._settled(provider)
        return [entry for entry in entries if provider in entry.providers and entry.delivery_id not in done]

    def settle(self, entry: Entry, provider: Provider, receipt: Receipt) -> None:
        """Keep what became of an entry at a provider; the last of its providers takes it away."""
        if receipt.refused is not None:
            self._keep_refused(entry)
        _write(self._receipt_path(entry.delivery_id, provider), orjson.dumps(asdict(receipt)))
        # Two who added it at one moment have added it twice.
        same = [other for other in self.waiting() if other.delivery_id == entry.delivery_id]
        for other in filter(self._is_settled, same):
            other.path.unlink(missing_ok=True)
        _prune(self._receipts, _RECEIPTS)

    def receipt(self, delivery_id: str, provider: Provider) -> Receipt | None:
        """Return what became of a record at a provider; None while it waits, or long afterwards."""
        content = _read(self._receipt_path(delivery_id, provider))
        return None if content is None else Receipt(**content)

    def set_state(self, provider: Provider, state: ProviderState) -> None:
        """Keep whether the provider answers."""
        _write(self._state / f"{provider}.json", orjson.dumps(asdict(state)))

    def state(self, provider: Provider) -> ProviderState:
        """Return whether the provider answered when it was last asked to take something."""
        content = _read(self._state / f"{provider}.json")
        return ProviderState() if content is None else ProviderState(**content)

    @contextlib.contextmanager
    def delivering(self, provider: Provider) -> Iterator[bool]:
        """Take the right to deliver to a provider while the block runs; false says that another process has it."""
        with self._lock_file(provider) as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
                return
            yield True

    def folder(self, name: str) -> Path:
        """Return a folder of the outbox for a provider's own files, made when it is not there."""
        made = self._root / name
        made.mkdir(mode=0o700, parents=True, exist_ok=True)
        return made

    def _lock_file(self, provider: Provider) -> IO[str]:
        return (self.folder("state") / f"{provider}.lock").open("w")

    def _receipt_path(self, delivery_id: str, provider: Provider) -> Path:
        return self._receipts / f"{delivery_id}.{provider}.json"

    def _is_settled(self, entry: Entry) -> bool:
        return all(self._receipt_path(entry.delivery_id, provider).exists() for provider in entry.providers)

    def _settled(self, provider: Provider) -> set[str]:
        ending = f".{provider}.json"
        try:
            names = os.listdir(self._receipts)  # noqa: PTH208
        except FileNotFoundError:
            return set()
        return {name.removesuffix(ending) for name in names if name.endswith(ending)}

    def _keep_refused(self, entry: Entry) -> None:
        kept = self.folder("refused") / entry.path.name
        with contextlib.suppress(FileExistsError, FileNotFoundError):
            os.link(entry.path, kept)
        _prune(self._refused, _REFUSED)


def _entry(path: Path) -> Entry:
    delivery_id, providers, _ = path.name.partition("-")[2].split(".")
    return Entry(path, delivery_id, tuple(Provider(name) for name in providers.split("+")))


def _write(path: Path, content: bytes) -> None:
    """Write a file that is there completely or not at all."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{time.monotonic_ns()}")
    try:
        temporary.write_bytes(content)
        temporary.replace(path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise


def _read(path: Path) -> Any:
    try:
        return orjson.loads(path.read_bytes())
    except (FileNotFoundError, orjson.JSONDecodeError):  # torn by a power cut: as if it were not there
        return None


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _age(path: Path) -> float:
    try:
        return time.time() - path.stat().st_mtime
    except FileNotFoundError:
        return 0.0


def _prune(folder: Path, most: int) -> None:
    """Delete the oldest files beyond `most`, once there are a tenth more."""
    paths = list(folder.iterdir())
    if len(paths) <= most * 1.1:
        return
    ages = {path: path.stat().st_mtime_ns for path in paths}
    for path in sorted(ages, key=ages.__getitem__)[: len(paths) - most]:
        path.unlink(missing_ok=True)
