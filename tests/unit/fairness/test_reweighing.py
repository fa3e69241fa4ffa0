from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairness.errors import LengthMismatchError
from fairness.groups import UNKNOWN, encode
from fairness.reweighing import reweigh

tables = st.lists(st.tuples(st.sampled_from(["a", "b", "c", None]), st.booleans()), min_size=1, max_size=60)


def test_the_example_of_the_paper_gets_its_weights() -> None:
    """Kamiran and Calders 2012, table 1: of ten applicants four of five men and two of five women are hired."""
    sex = ["m"] * 5 + ["f"] * 5
    hired = np.array([True] * 4 + [False] + [True] * 2 + [False] * 3)
    weights = reweigh(encode("sex", sex), hired)

    by_cell = {(group, label): weight for group, label, weight in zip(sex, hired.tolist(), weights, strict=True)}
    assert by_cell == pytest.approx(
        {("m", True): 0.75, ("m", False): 2.0, ("f", True): 1.5, ("f", False): 0.67}, abs=4e-3
    )


@given(tables)
def test_weighted_groups_have_the_same_share_of_favourable_labels(rows: list[tuple[str | None, bool]]) -> None:
    groups, labels = encode("g", [group for group, _ in rows]), np.array([label for _, label in rows])
    weights = reweigh(groups, labels)
    known = np.array([group is not None for group, _ in rows])
    shares = []
    for code, name in enumerate(groups.names):
        mine = groups.codes == code
        if name == UNKNOWN:
            assert (weights[mine] == 1).all()
        elif len(set(labels[mine].tolist())) == 2:
            assert weights[mine].sum() == pytest.approx(mine.sum())
            shares.append(weights[mine & labels].sum() / weights[mine].sum())
    assert shares == pytest.approx([labels[known].mean()] * len(shares)) if shares else True


@given(tables)
def test_rows_of_one_group_and_label_weigh_the_same_whatever_their_order(
    rows: list[tuple[str | None, bool]],
) -> None:
    groups, labels = encode("g", [group for group, _ in rows]), np.array([label for _, label in rows])
    backwards = encode("g", [group for group, _ in reversed(rows)])
    assert reweigh(groups, labels).tolist() == reweigh(backwards, labels[::-1])[::-1].tolist()


def test_a_label_too_few_is_refused() -> None:
    with pytest.raises(LengthMismatchError):
        reweigh(encode("g", ["a", "b"]), np.array([True]))
