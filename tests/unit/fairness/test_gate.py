from __future__ import annotations

import pytest
from pydantic import ValidationError

from fairness.disparities import HEADLINE
from fairness.gate import BiasPolicy, Tolerance, Verdict, default_policy, worst_verdict


def test_a_difference_takes_at_most_and_a_ratio_at_least() -> None:
    assert Tolerance(metric="equalized_odds_difference", attribute="SEX", at_most=0.1).limit == 0.1
    assert Tolerance(metric="demographic_parity_ratio", attribute="SEX", at_least=0.8).limit == 0.8
    for wrong in ({"at_least": 0.8}, {}, {"at_most": 0.1, "at_least": 0.8}, {"at_most": 0.0}, {"at_most": 1.5}):
        with pytest.raises(ValidationError):
            Tolerance(metric="demographic_parity_difference", attribute="SEX", **wrong)


def test_an_unknown_metric_or_key_is_refused() -> None:
    with pytest.raises(ValidationError):
        Tolerance(metric="bias_score", attribute="SEX", at_most=0.1)
    with pytest.raises(ValidationError):
        Tolerance.model_validate({"metric": "demographic_parity_ratio", "attribute": "SEX", "atleast": 0.8})


def test_two_tolerances_for_one_thing_are_refused() -> None:
    tolerance = Tolerance(metric="demographic_parity_ratio", attribute="SEX", at_least=0.8)
    with pytest.raises(ValidationError, match="keep one"):
        BiasPolicy(tolerances=(tolerance, tolerance.model_copy(update={"at_least": 0.9})))


def test_the_default_policy_has_the_headline_metrics_or_without_outcomes_what_can_be_measured() -> None:
    policy = default_policy(["SEX", "RAC1P"])
    assert len(policy.tolerances) == 2 * len(HEADLINE)
    assert {t.limit for t in policy.tolerances} == {0.1, 0.8}
    without = default_policy(["SEX"], outcomes=False)
    assert [str(t.metric) for t in without.tolerances] == [
        "demographic_parity_difference",
        "demographic_parity_ratio",
    ]


def test_a_policy_survives_json() -> None:
    policy = default_policy(["SEX"], gating=False)
    assert BiasPolicy.model_validate_json(policy.model_dump_json()) == policy


def test_the_worst_verdict_is_fail_then_insufficient_then_pass() -> None:
    assert worst_verdict([Verdict.PASS, Verdict.FAIL, Verdict.INSUFFICIENT_EVIDENCE, None]) is Verdict.FAIL
    assert worst_verdict([Verdict.PASS, Verdict.INSUFFICIENT_EVIDENCE]) is Verdict.INSUFFICIENT_EVIDENCE
    assert worst_verdict([Verdict.PASS, None]) is Verdict.PASS
    assert worst_verdict([None]) is None
