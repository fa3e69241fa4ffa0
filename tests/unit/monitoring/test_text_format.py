"""The text format: what the client library's parser reads back, and the same numbers its own writer gives."""

from __future__ import annotations

import math
from itertools import accumulate

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client import Gauge as TheirGauge
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.utils import floatToGoString

from monitoring.exposition import StateMetrics
from monitoring.metrics import DEFINITIONS, DURATION, PREDICTIONS
from monitoring.state_gauges import Gauge, StateRegistry
from monitoring.text_format import Counts, Key, state_lines, totals_lines

Sample = tuple[str, tuple[tuple[str, str], ...]]

names = st.text(st.characters(codec="utf-8", exclude_characters="\r"), min_size=1, max_size=8)
counts = st.lists(
    st.integers(0, 10**9),
    min_size=len(DEFINITIONS[DURATION].buckets) + 1,
    max_size=len(DEFINITIONS[DURATION].buckets) + 1,
)


def read(text: str) -> dict[Sample, float]:
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


class Given:
    """Families as the client library's own writer takes them."""

    def __init__(self, numbers: dict[Key, float], histograms: dict[Key, Counts]) -> None:
        self.numbers, self.histograms = numbers, histograms

    def collect(self) -> list[CounterMetricFamily | HistogramMetricFamily]:
        counter = CounterMetricFamily(PREDICTIONS, "Rows.", labels=DEFINITIONS[PREDICTIONS].labels)
        for (_, *labels), value in self.numbers.items():
            counter.add_metric(labels, value)
        histogram = HistogramMetricFamily(DURATION, "Seconds.", labels=DEFINITIONS[DURATION].labels)
        bounds = [*map(floatToGoString, DEFINITIONS[DURATION].buckets), "+Inf"]
        for (_, *labels), (found, total) in self.histograms.items():
            histogram.add_metric(labels, list(zip(bounds, accumulate(found), strict=True)), total)
        return [counter, histogram]


@settings(max_examples=25)
@given(
    st.dictionaries(st.tuples(st.just(PREDICTIONS), names, names), st.floats(0, 1e15), max_size=3),
    st.dictionaries(
        st.tuples(st.just(DURATION), names, names, names), st.tuples(counts, st.floats(0, 1e9)), max_size=2
    ),
)
def test_whatever_was_counted_reads_as_what_the_client_library_writes(
    numbers: dict[Key, float], histograms: dict[Key, Counts]
) -> None:
    registry = CollectorRegistry()
    registry.register(Given(numbers, histograms))  # type: ignore[arg-type]  # a Collector in all but name
    ours = "\n".join([*totals_lines(numbers, histograms), ""])
    assert read(ours) == read(generate_latest(registry).decode())


@given(st.dictionaries(names, st.floats(allow_nan=False), max_size=4))
def test_state_reads_as_what_the_client_library_writes(values: dict[str, float]) -> None:
    theirs, ours = CollectorRegistry(), StateRegistry()
    help_text = 'A "help" with a \\ and a\nline end.'
    gauges = (
        TheirGauge("some_ratio", help_text, ["model"], registry=theirs),
        Gauge("some_ratio", help_text, ["model"], registry=ours),
    )
    for gauge in gauges:
        for model, value in values.items():
            gauge.labels(model).set(value)
    assert read("\n".join([*state_lines(ours.gauges), ""])) == read(generate_latest(theirs).decode())


def test_a_number_that_is_none_is_written_as_go_reads_it() -> None:
    state = StateMetrics()
    state.lag.set(math.nan)
    state.tracking.set(math.inf)
    lines = list(state_lines(state.registry.gauges))
    assert "fairmind_prediction_log_lag_seconds NaN" in lines
    assert "fairmind_tracking_waiting +Inf" in lines


def test_a_family_without_samples_is_not_there() -> None:
    lines = list(state_lines(StateMetrics().registry.gauges))
    assert not [line for line in lines if "fairmind_rollout_decisions" in line or "fairmind_model_info" in line]


def test_what_another_release_counted_by_other_labels_is_left_out() -> None:
    numbers: dict[Key, float] = {
        (PREDICTIONS, "credit"): 1,
        ("fairmind_gone", "credit"): 2,
        (PREDICTIONS, "credit", "champion"): 3,
    }
    lines = [line for line in totals_lines(numbers, {}) if not line.startswith("#")]
    assert lines == ['fairmind_predictions_total{model="credit",variant="champion"} 3.0']


def test_a_gauge_is_found_by_its_name_and_labels_and_refuses_other_labels() -> None:
    state = StateMetrics()
    state.weight.labels("credit", "champion").set(0.9)
    state.lag.set(2)
    value = state.registry.get_sample_value
    assert value("fairmind_traffic_weight_ratio", {"variant": "champion", "model": "credit"}) == 0.9
    assert value("fairmind_prediction_log_lag_seconds") == 2
    assert value("fairmind_traffic_weight_ratio", {"model": "credit"}) is None
    assert value("fairmind_traffic_weight_ratio", {"variant": "challenger", "model": "credit"}) is None
    with pytest.raises(ValueError, match="fairmind_traffic_weight_ratio has the labels model, variant"):
        state.weight.labels("credit")
