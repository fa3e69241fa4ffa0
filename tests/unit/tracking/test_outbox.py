"""The outbox: complete files, once each, gone only when every provider has them, and never too many."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.unit.tracking.conftest import make_record
from tracking.errors import OutboxFullError
from tracking.outbox import Outbox, ProviderState, Receipt
from tracking.record import BiasTestRecord
from tracking.settings import Provider

BOTH = (Provider.WANDB, Provider.MLFLOW)


def test_a_record_waits_for_each_of_its_providers_and_goes_with_the_last(outbox: Outbox) -> None:
    delivery_id = outbox.add(make_record(), BOTH)
    (entry,) = outbox.waiting()
    assert entry.delivery_id == delivery_id
    assert BiasTestRecord.model_validate_json(entry.path.read_bytes()).delivery_id == delivery_id
    outbox.settle(entry, Provider.WANDB, Receipt("run", "http://run"))
    assert (outbox.waiting(Provider.WANDB), outbox.waiting(Provider.MLFLOW)) == ([], [entry])
    outbox.settle(entry, Provider.MLFLOW, Receipt("other", None))
    assert outbox.waiting() == []
    assert outbox.receipt(delivery_id, Provider.WANDB) == Receipt("run", "http://run")
    assert outbox.receipt(delivery_id, Provider.MLFLOW) == Receipt("other", None)


def test_the_oldest_comes_first(outbox: Outbox) -> None:
    added = [outbox.add(make_record(f"t-{number}"), BOTH) for number in range(5)]
    assert [entry.delivery_id for entry in outbox.waiting()] == added


def test_a_test_that_waits_is_not_kept_twice_and_one_sent_again_is_looked_for_anew(outbox: Outbox) -> None:
    delivery_id = outbox.add(make_record(), [Provider.MLFLOW])
    assert outbox.add(make_record(), [Provider.MLFLOW]) == delivery_id
    (entry,) = outbox.waiting()
    outbox.settle(entry, Provider.MLFLOW, Receipt("run", None))
    outbox.add(make_record(), [Provider.MLFLOW])
    assert outbox.receipt(delivery_id, Provider.MLFLOW) is None
    assert len(outbox.waiting(Provider.MLFLOW)) == 1


def test_more_than_may_wait_are_refused_and_the_setting_is_named(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path, max_waiting=2)
    outbox.add(make_record("1"), BOTH)
    outbox.add(make_record("2"), BOTH)
    with pytest.raises(OutboxFullError, match=r"2 results .* \(FAIRMIND_TRACKING_MAX_WAITING\)"):
        outbox.add(make_record("3"), BOTH)
    assert len(outbox.waiting()) == 2


def test_more_bytes_than_may_wait_are_refused(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path, max_bytes=3_000)
    outbox.add(make_record("1"), BOTH)
    with pytest.raises(OutboxFullError, match="FAIRMIND_TRACKING_MAX_WAITING_BYTES"):
        outbox.add(make_record("2", html="x" * 3_000), BOTH)


def test_a_refused_record_is_kept_aside(outbox: Outbox) -> None:
    outbox.add(make_record(), [Provider.MLFLOW])
    (entry,) = outbox.waiting()
    content = entry.path.read_bytes()
    outbox.settle(entry, Provider.MLFLOW, Receipt(refused="too odd"))
    assert outbox.waiting() == []
    (kept,) = outbox.folder("refused").iterdir()
    assert kept.read_bytes() == content


def test_receipts_do_not_pile_up(outbox: Outbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tracking.outbox._RECEIPTS", 10)
    for number in range(30):
        outbox.add(make_record(f"t-{number}"), [Provider.MLFLOW])
        (entry,) = outbox.waiting()
        outbox.settle(entry, Provider.MLFLOW, Receipt("run", None))
    assert len(list(outbox.folder("receipts").iterdir())) <= 11
    assert outbox.receipt(entry.delivery_id, Provider.MLFLOW) is not None


def test_what_a_process_that_died_has_left_is_swept(outbox: Outbox) -> None:
    outbox.add(make_record("arrived"), [Provider.MLFLOW])
    (entry,) = outbox.waiting()
    content = entry.path.read_bytes()
    outbox.settle(entry, Provider.MLFLOW, Receipt("run", None))
    entry.path.write_bytes(content)  # as if it had died between the receipt and this
    half, new = (entry.path.with_name(f".{name}.1.1") for name in ("half", "new"))
    for path in (half, new):
        path.write_bytes(content[:10])
    os.utime(half, (0, 0))
    outbox.add(make_record("waits"), [Provider.MLFLOW])
    outbox.sweep()
    (left,) = outbox.waiting()
    assert BiasTestRecord.model_validate_json(left.path.read_bytes()).id == "waits"
    assert (half.exists(), new.exists()) == (False, True)


def test_files_of_other_names_are_nobodys_business(outbox: Outbox) -> None:
    outbox.add(make_record(), BOTH)
    (outbox.folder("waiting") / "notes.json").write_text("{}")
    assert len(outbox.waiting()) == 1


def test_one_at_a_time_delivers_to_a_provider(outbox: Outbox) -> None:
    wandb, mlflow = Provider.WANDB, Provider.MLFLOW
    with outbox.delivering(wandb) as first, outbox.delivering(wandb) as second, outbox.delivering(mlflow) as other:
        assert (first, second, other) == (True, False, True)
    with outbox.delivering(Provider.WANDB) as again:
        assert again


def test_what_two_added_at_one_moment_goes_with_the_first_that_arrives(outbox: Outbox) -> None:
    delivery_id = outbox.add(make_record(), BOTH)
    (first,) = outbox.waiting()
    second = first.path.with_name(f"{int(first.added_at * 1e9) + 1:020d}-{delivery_id}.wandb.json")
    second.write_bytes(first.path.read_bytes())
    outbox.settle(first, Provider.WANDB, Receipt("run", None))
    assert [entry.path for entry in outbox.waiting()] == [first.path]
    outbox.settle(first, Provider.MLFLOW, Receipt("run", None))
    assert outbox.waiting() == []


def test_the_state_of_a_provider_is_told_to_other_processes(outbox: Outbox, tmp_path: Path) -> None:
    state = ProviderState("it is away", 1.5, 2.5)
    outbox.set_state(Provider.WANDB, state)
    other = Outbox(tmp_path / "tracking")
    assert (other.state(Provider.WANDB), other.state(Provider.MLFLOW)) == (state, ProviderState())


def test_what_is_kept_is_readable_by_its_owner_only(outbox: Outbox) -> None:
    outbox.add(make_record(), BOTH)
    assert outbox.folder("waiting").stat().st_mode & 0o077 == 0
