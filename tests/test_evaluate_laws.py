"""Laws of an evaluation: what may not change its numbers, and what must turn them round."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray

from hilum.evaluate import Measure, Metrics, auroc, average_precision, compare, evaluate
from hilum.evaluate.scorecard import FindingMetrics, Scorecard
from hilum.tables import Table

Floats = NDArray[np.float64]

FINDINGS = ("Edema", "Mass", "Nodule")
RANKS = ("auroc", "average_precision")
few = settings(max_examples=25, deadline=None)


@st.composite
def tables(draw: st.DrawFn) -> tuple[Table, Table]:
    """Return scores and truth: a few patients, ties, unknown labels, perhaps one class only."""
    n = draw(st.integers(4, 20))
    scores = draw(arrays.arrays(np.float64, (n, 3), elements=st.integers(-3, 3).map(float)))
    values = st.sampled_from([0.0, 1.0, 1.0, 0.0, np.nan])
    truth = draw(arrays.arrays(np.float64, (n, 3), elements=values))
    truth[:4, 0] = (0, 1, 0, 1)
    ids = tuple(f"image-{i}" for i in range(n))
    patients = draw(st.lists(st.sampled_from("pqrstuv"), min_size=n, max_size=n))
    return Table(ids, FINDINGS, scores), Table(
        ids, FINDINGS, truth, {"patient_id": tuple(patients)}
    )


def measured(scores: Table, truth: Table, **settings: object) -> Metrics:
    chosen = {"bootstrap": 40, "statistics": RANKS, **settings}
    return evaluate(scores, truth, **chosen)  # type: ignore[arg-type]


def numbers(card: Scorecard) -> dict[str, FindingMetrics]:
    return dict(card.findings)


def assert_close(found: Measure, expected: Measure) -> None:
    """Compare to the last digits but one: means are added up in the order of the findings."""
    assert (found.undefined, found.reason) == (expected.undefined, expected.reason)
    for name in ("estimate", "low", "high", "p_value"):
        assert getattr(found, name) == pytest.approx(getattr(expected, name), abs=1e-12), name


@few
@given(tables(), st.sampled_from([np.exp, np.cbrt, lambda x: x**3 + x - 40]),
       st.sampled_from(["percentile", "bca"]))  # fmt: skip
def test_a_rising_map_of_the_scores_changes_nothing(
    pair: tuple[Table, Table], rising: Callable[[Floats], Floats], interval: str
) -> None:
    scores, truth = pair
    other = replace(scores, values=rising(scores.values))
    found, expected = (measured(table, truth, interval=interval) for table in (other, scores))
    assert numbers(found) == numbers(expected)
    assert found.mean == expected.mean


@few
@given(tables(), st.randoms(use_true_random=False), st.sampled_from(["patient_id", None]))
def test_no_order_of_rows_or_columns_changes_a_number(
    pair: tuple[Table, Table], random: object, by: str | None
) -> None:
    mixed = []
    for table in pair:
        rows, columns = list(range(len(table))), list(FINDINGS)
        random.shuffle(rows)  # type: ignore[attr-defined]
        random.shuffle(columns)  # type: ignore[attr-defined]
        mixed.append(table.take(rows).select(columns))
    found, expected = measured(*mixed, by=by), measured(*pair, by=by)
    assert numbers(found) == numbers(expected)
    for name in RANKS:
        assert_close(found.mean[name], expected.mean[name])


@few
@given(tables())
def test_auroc_of_reversed_scores_is_1_minus_auroc_with_the_interval_in_a_mirror(
    pair: tuple[Table, Table],
) -> None:
    scores, truth = pair
    turned = measured(replace(scores, values=-scores.values), truth)
    plain = measured(scores, truth)
    for name in FINDINGS:
        there, here = (m.findings[name].measures["auroc"] for m in (turned, plain))
        assert_close(there, mirrored(here))
    assert_close(turned.mean["auroc"], mirrored(plain.mean["auroc"]))


def mirrored(measure: Measure, middle: float = 0.5) -> Measure:
    """Reflect an estimate and its interval."""
    at = [
        None if end is None else 2 * middle - end
        for end in (measure.estimate, measure.high, measure.low)
    ]
    return replace(measure, estimate=at[0], low=at[1], high=at[2])


@few
@given(tables(), st.sampled_from(["percentile", "bca"]), st.integers(2, 3))
def test_images_copied_within_their_patients_change_no_interval(
    pair: tuple[Table, Table], interval: str, times: int
) -> None:
    copies = [copied(table, times) for table in pair]
    found, expected = measured(*copies, interval=interval), measured(*pair, interval=interval)
    for name in FINDINGS:
        here, there = found.findings[name], expected.findings[name]
        assert (here.n, here.positives) == (times * there.n, times * there.positives)
        for statistic in RANKS:
            after, before = here.measures[statistic], there.measures[statistic]
            if before.estimate is None:  # the reasons count the images
                assert after.estimate is None
            else:
                assert_close(after, before)


def copied(table: Table, times: int) -> Table:
    rows = np.repeat(np.arange(len(table)), times)
    ids = tuple(f"{image}-{copy}" for image in table.ids for copy in range(times))
    extra = {name: tuple(cells[row] for row in rows) for name, cells in table.extra.items()}
    return Table(ids, table.findings, table.values[rows], extra)


@few
@given(tables(), st.data())
def test_a_weight_is_a_repetition(pair: tuple[Table, Table], data: st.DataObject) -> None:
    scores, truth = pair
    weights = data.draw(arrays.arrays(np.int64, len(truth), elements=st.integers(1, 3)))
    rows = np.repeat(np.arange(len(truth)), weights)
    ids = tuple(map(str, range(rows.size)))
    found = evaluate(
        Table(ids, FINDINGS, scores.values[rows]), Table(ids, FINDINGS, truth.values[rows]),
        bootstrap=0,
    )  # fmt: skip
    for at, name in enumerate(FINDINGS):
        for statistic, weighted in (("auroc", auroc), ("average_precision", average_precision)):
            estimate = found.findings[name].measures[statistic].estimate
            expected = weighted(scores.values[:, at], truth.values[:, at], weights)
            assert (np.nan if estimate is None else estimate) == pytest.approx(
                expected, nan_ok=True
            )


@few
@given(tables(), st.integers(0, 1000), st.sampled_from(["percentile", "bca"]))
def test_a_difference_is_first_minus_second_and_turns_round_with_them(
    pair: tuple[Table, Table], seed: int, interval: str
) -> None:
    first, truth = pair
    noise = np.random.default_rng(seed).integers(-2, 3, size=first.values.shape)
    second = replace(first, values=first.values + noise)
    chosen = {"bootstrap": 40, "statistics": RANKS, "interval": interval}
    there = compare(first, second, truth, **chosen)  # type: ignore[arg-type]
    back = compare(second, first, truth, **chosen)  # type: ignore[arg-type]
    assert numbers(there.first) == numbers(back.second) == numbers(measured(first, truth, **chosen))
    for name in FINDINGS:
        for statistic in RANKS:
            gap, a, b, turned = (
                card.findings[name].measures[statistic]
                for card in (there.difference, there.first, there.second, back.difference)
            )
            if a.estimate is None or b.estimate is None:
                assert gap == Measure(None, reason=a.reason)
            else:
                assert gap.estimate == a.estimate - b.estimate
                assert_close(turned, mirrored(gap, 0))


@few
@given(tables(), st.sampled_from(FINDINGS))
def test_a_finding_alone_has_the_numbers_that_it_has_among_others(
    pair: tuple[Table, Table], name: str
) -> None:
    scores, truth = pair
    alone = measured(scores.select([name]), truth.select([name]))
    assert alone.findings[name] == measured(scores, truth).findings[name]


@few
@given(tables())
def test_unknown_truth_is_an_image_left_out(pair: tuple[Table, Table]) -> None:
    scores, truth = pair
    known = ~np.isnan(truth.column("Edema"))
    kept = scores.take(known), truth.take(known)
    left, right = (measured(*each, bootstrap=0).findings["Edema"] for each in (kept, pair))
    assert left == right


@few
@given(tables(), st.sampled_from(["positive", "negative", "ignore"]))
def test_doubt_is_what_the_policy_says(pair: tuple[Table, Table], policy: str) -> None:
    scores, truth = pair
    doubtful = np.where(np.isnan(truth.values), -1, truth.values)
    value = {"positive": 1, "negative": 0, "ignore": np.nan}[policy]
    decided = np.where(doubtful == -1, value, doubtful)
    found = measured(scores, replace(truth, values=doubtful), policy=policy)
    assert numbers(found) == numbers(measured(scores, replace(truth, values=decided)))


@few
@given(tables())
def test_more_confidence_takes_a_wider_interval(pair: tuple[Table, Table]) -> None:
    wide, narrow = (measured(*pair, level=level) for level in (0.95, 0.5))
    for name in FINDINGS:
        for statistic in RANKS:
            outer, inner = (m.findings[name].measures[statistic] for m in (wide, narrow))
            assert outer.estimate == inner.estimate
            if outer.low is None or inner.low is None or outer.high is None or inner.high is None:
                assert (outer.reason, inner.reason) != (None, None)
            else:
                assert outer.low <= inner.low <= inner.high <= outer.high
