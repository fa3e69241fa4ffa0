from loadtests.traffic import Split, challenger_weight

EXPOSITION = """\
# HELP fairmind_traffic_weight_ratio Share of units a variant is assigned.
# TYPE fairmind_traffic_weight_ratio gauge
fairmind_traffic_weight_ratio{model="employment",variant="champion"} 0.7
fairmind_traffic_weight_ratio{model="employment",variant="challenger"} 0.3
fairmind_traffic_weight_ratio{model="credit",variant="champion"} 1.0
fairmind_predictions_total{model="employment",variant="challenger"} 12.0
"""


def test_the_weight_is_the_challengers_and_of_the_model_asked_for() -> None:
    assert challenger_weight(EXPOSITION, "employment") == 0.3


def test_a_model_with_a_champion_alone_has_no_weight_at_the_challenger() -> None:
    assert challenger_weight(EXPOSITION, "credit") == 0.0


def test_an_unknown_model_has_no_weight_rather_than_zero() -> None:
    assert challenger_weight(EXPOSITION, "mine") is None


def test_units_are_counted_once_and_one_that_changes_its_variant_is_noticed() -> None:
    split = Split()
    assert split.note(["a", "b"], ["champion", "challenger"])
    assert split.note(["b", "b"], ["challenger", "challenger"])
    assert not split.note(["a"], ["challenger"])
    assert (len(split.variants), split.at_challenger(), split.moved) == (2, 1, {"a"})
