"""What a server says and what somebody adds make a remote model, or an error that says what is missing."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from inference.errors import RuntimeLoadError
from inference.loading import load_model
from inference.signature import Signature, Task
from remotes.blocking import BlockingRemote
from remotes.checking import check_remote
from remotes.client import Tensor
from remotes.definition import FAIRMIND_FOLDER, Reading, RemoteModel, is_remote, read_remote
from remotes.errors import InvalidRemoteError, RemoteMismatchError, RemoteUnavailableError
from remotes.files import write_remote
from remotes.making import Made, RemoteWish, make_remote
from remotes.readings import Seen, guess_outputs, seen_in_metadata
from tests.fakes.remote_servers import FakeRemote
from tests.unit.remotes.queues import SERVERS, SIGNATURE, rows, telling

BARE = SIGNATURE.model_copy(update={"task": Task.OPAQUE, "classes": ()})


def made(protocol: str, signature: Signature | None = None, before: Any = None, **wish: Any) -> Made:
    """Return what is made of a fake server, which `before` may change."""

    async def scenario() -> Made:
        async with SERVERS[protocol]() as fake:
            if before is not None:
                before(fake)
            url = fake.url.replace("http", "grpc") if protocol == "oip-grpc" else fake.url
            named = {} if protocol == "mlflow" else {"model": "m"}
            return await make_remote(
                RemoteWish.model_validate({"url": url, "protocol": protocol, **named, **wish}), signature
            )

    return asyncio.run(scenario())


def test_a_server_that_says_everything_needs_nothing_said() -> None:
    found = made("oip")
    assert [column.name for column in found.model.signature.columns] == ["age", "income"]
    assert (found.model.signature.task, found.model.signature.classes) == (Task.BINARY, (0, 1))
    assert found.model.definition.version == "3"
    readings = {output.name: output.reading for output in found.model.definition.outputs}
    assert readings == {"probabilities": Reading.PROBABILITIES, "prediction": Reading.LABEL}
    assert found.notes == ()


def test_grpc_metadata_know_no_classes_and_take_them_from_who_knows() -> None:
    found = made("oip-grpc", classes=(0, 1))
    assert found.model.signature.classes == (0, 1)
    assert {output.reading for output in found.model.definition.outputs} == {
        Reading.PROBABILITIES,
        Reading.LABEL,
    }
    with pytest.raises(InvalidRemoteError, match="--output"):
        made("oip-grpc")


@pytest.mark.parametrize("protocol", ["mlflow", "kserve-v1"])
def test_a_protocol_without_words_for_columns_needs_a_signature(protocol: str) -> None:
    with pytest.raises(InvalidRemoteError, match="--signature"):
        made(protocol, classes=(0, 1))


def test_how_predictions_are_read_is_seen_in_an_answer() -> None:
    labels = made("mlflow", BARE, classes=(0, 1)).model.definition
    assert [(one.name, one.reading) for one in labels.outputs] == [(None, Reading.LABEL)]
    assert labels.version == "mlflow-3"
    scored = made("kserve-v1", BARE, classes=("no", "yes"))
    assert [one.reading for one in scored.model.definition.outputs] == [Reading.PROBABILITIES]
    assert scored.model.definition.version is None
    assert "reports no version" in scored.notes[0]
    assert made("mlflow", BARE).model.signature.task is Task.OPAQUE
    assert made("mlflow", BARE, is_regression=True).model.signature.task is Task.REGRESSION


def refuse(fake: FakeRemote) -> None:
    fake.behave = telling(400, {"error": "no such person"})


def test_a_server_that_refuses_a_made_up_row_is_taken_with_a_note() -> None:
    found = made("mlflow", BARE, refuse, classes=(0, 1))
    assert [one.reading for one in found.model.definition.outputs] == [Reading.LABEL]
    assert any("not tried" in note for note in found.notes)


def test_an_answer_that_cannot_be_read_so_is_found_before_a_caller_finds_it() -> None:
    with pytest.raises(InvalidRemoteError, match="none of the classes"):
        made("mlflow", BARE, classes=("yes", "no"))
    with pytest.raises(InvalidRemoteError, match="missing"):
        made("oip", outputs=[{"name": "nothing", "reading": "label"}])


def test_a_server_that_is_not_ready_makes_nothing() -> None:
    def close(fake: FakeRemote) -> None:
        fake.ready = False

    with pytest.raises(RemoteUnavailableError):
        made("oip", before=close)


def test_the_version_that_answers_counts_where_metadata_list_several() -> None:
    def answer(fake: FakeRemote) -> None:
        fake.behave = telling(
            200,
            {
                "model_version": "2",
                "outputs": [
                    {"name": "prediction", "datatype": "INT64", "shape": [1], "data": [0]},
                    {"name": "probabilities", "datatype": "FP64", "shape": [1, 2], "data": [0.7, 0.3]},
                ],
            },
        )

    assert made("oip", before=answer).model.definition.version == "2"


def test_columns_that_the_server_does_not_have_are_named() -> None:
    other = SIGNATURE.model_copy(
        update={"columns": (SIGNATURE.columns[0], SIGNATURE.columns[1].model_copy(update={"name": "wage"}))}
    )
    with pytest.raises(InvalidRemoteError, match="no input 'wage'"):
        made("oip", other)


@pytest.mark.parametrize(
    ("wish", "said"),
    [
        ({"url": "ftp://there"}, "http"),
        ({"url": "http://user:secret@there"}, "environment variable"),
        ({"url": "http://there?key=1"}, "query"),
        ({"url": "http://there", "protocol": "oip-grpc"}, "grpc"),
        ({"url": "http://there", "model": None}, "name the model"),
        ({"url": "http://there", "token_env": "REMOTE_TOKEN_NONE"}, "REMOTE_TOKEN_NONE"),
    ],
)
def test_a_definition_that_makes_no_sense_says_what_to_do(wish: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidRemoteError, match=said):
        asyncio.run(make_remote(RemoteWish.model_validate({"model": "m", **wish}), SIGNATURE))


def test_a_token_is_not_sent_in_the_clear(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REMOTE_TOKEN_CREDIT", "s3cret")
    wish = RemoteWish(url="http://there.example", model="m", token_env="REMOTE_TOKEN_CREDIT")
    with pytest.raises(InvalidRemoteError, match="TLS"):
        asyncio.run(make_remote(wish, SIGNATURE))


@pytest.mark.parametrize(
    ("seen", "expected"),
    [
        ([Seen("output__0", 1, is_float=False)], [("output__0", "label")]),
        ([Seen("output__0", 2, is_float=True)], [("output__0", "probabilities")]),
        ([Seen("score", 1, is_float=True)], [("score", "probability")]),
        ([Seen("predict", 1, is_float=False), Seen("predict_proba", -1, is_float=True)],
         [("predict_proba", "probabilities"), ("predict", "label")]),
        ([Seen(None, 2, is_float=True, keys=("0", "1"))], [(None, "probabilities")]),
    ],
)  # fmt: skip
def test_outputs_are_guessed_by_what_they_look_like(seen: list[Seen], expected: list[tuple[Any, str]]) -> None:
    assert [(one.name, str(one.reading)) for one in guess_outputs(seen, SIGNATURE)] == expected


def test_what_cannot_be_guessed_is_asked_for() -> None:
    with pytest.raises(InvalidRemoteError, match="first, second"):
        guess_outputs([Seen("first", 3, is_float=True), Seen("second", 4, is_float=True)], SIGNATURE)
    with pytest.raises(InvalidRemoteError):
        guess_outputs(seen_in_metadata([Tensor("a", "FP32", (-1,)), Tensor("b", "FP32", (-1,))]), BARE)


def test_files_hold_the_model_and_say_that_it_is_remote(tmp_path: Path) -> None:
    model: RemoteModel = made("oip").model
    write_remote(tmp_path / "model", model)
    assert is_remote(tmp_path / "model")
    assert read_remote(tmp_path / "model") == model
    with pytest.raises(RuntimeLoadError, match="remote variant"):
        load_model(tmp_path / "model" / FAIRMIND_FOLDER)
    (tmp_path / "model" / FAIRMIND_FOLDER / "remote.json").write_text("{}", encoding="utf-8")
    with pytest.raises(RuntimeLoadError, match="damaged"):
        read_remote(tmp_path / "model")
    assert not is_remote(tmp_path)


def test_rows_without_an_event_loop_are_scored_in_calls_of_bounded_size() -> None:
    async def scenario() -> None:
        async with SERVERS["oip"]() as fake:
            wish = RemoteWish(url=fake.url, model="m")
            model = (await make_remote(wish, None)).model
            small = model.definition.model_copy(update={"max_batch_rows": 2})
            before = fake.calls

            def score() -> list[Any]:
                remote = BlockingRemote(model.model_copy(update={"definition": small}))
                try:
                    found = remote.predict(rows(10, 90, 20, 80, 70), 5).prediction.tolist()
                    fake.version = "4"
                    with pytest.raises(RemoteMismatchError, match="version 4"):
                        remote.predict(rows(10), 1)
                    return found
                finally:
                    remote.close()

            assert await asyncio.to_thread(score) == [0, 1, 0, 1, 1]
            assert fake.calls - before == 4
            assert (await asyncio.to_thread(check_remote, small)).is_changed
            fake.version = "3"
            assert (await asyncio.to_thread(check_remote, small)).problem is None
            fake.ready = False
            checked = await asyncio.to_thread(check_remote, small)
            assert (checked.is_changed, checked.problem is not None) == (False, True)

    asyncio.run(scenario())
