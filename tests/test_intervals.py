"""Resampling by patient, against a loop that lays out every resample."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

import reference
from hilum.evaluate import intervals
from hilum.evaluate.intervals import Measure, one_unit_only, percentile, replicate, resample
from hilum.evaluate.metrics import rank

Floats = NDArray[np.float64]


def sample(seed: int, n: int, n_units: int) -> tuple[Floats, Floats, NDArray[np.int64]]:
    rng = np.random.default_rng(seed)
    truth = rng.choice([0.0, 1.0, np.nan], size=n, p=[0.6, 0.3, 0.1])
    scores = np.round(rng.normal(size=n) + np.nan_to_num(truth), 1)
    units = np.concatenate([np.arange(n_units), rng.integers(n_units, size=n - n_units)])
    return scores, truth, units


@given(st.integers(0, 10**6), st.integers(2, 12), st.integers(0, 30))
def test_every_replicate_is_that_of_the_slow_loop(seed: int, n_units: int, more: int) -> None:
    scores, truth, units = sample(seed, n_units + more, n_units)
    fast = replicate([rank(scores, truth, units)], n_units, 7, seed)
    for name, slow in (
        ("auroc", reference.auroc_by_pairs),
        ("average_precision", reference.average_precision_by_thresholds),
    ):
        expected = reference.bootstrap_by_loop(slow, scores, truth, units.tolist(), seed, 7)
        np.testing.assert_allclose(fast[name][:, 0], expected, atol=1e-12)


def test_a_chunk_is_only_a_matter_of_memory() -> None:
    whole = np.hstack([counts for _, counts in resample(9, 50, seed=3, chunk=50)])
    parts = np.hstack([counts for _, counts in resample(9, 50, seed=3, chunk=7)])
    assert (whole == parts).all()
    assert (whole.sum(axis=0) == 9).all()


def test_little_memory_gives_the_same_replicates(monkeypatch: pytest.MonkeyPatch) -> None:
    scores, truth, units = sample(1, 60, 20)
    rankings = [rank(scores, truth, units)]
    roomy = replicate(rankings, 20, 40, seed=5)
    monkeypatch.setattr(intervals, "MEMORY", 1)
    cramped = replicate(rankings, 20, 40, seed=5)
    assert np.array_equal(roomy["auroc"], cramped["auroc"], equal_nan=True)


def test_images_copied_within_their_patients_widen_an_image_interval_falsely() -> None:
    # ten copies of each image add no information: by patient nothing changes, by image the
    # interval shrinks as if there were ten times as many patients
    scores, truth, _ = sample(2, 60, 60)
    copies = np.repeat(np.arange(60), 10)
    once = replicate([rank(scores, truth)], 60, 300, seed=0)["auroc"]
    by_patient = replicate(
        [rank(scores[copies], truth[copies], copies)], 60, 300, seed=0
    )["auroc"]  # fmt: skip
    by_image = replicate([rank(scores[copies], truth[copies])], 600, 300, seed=0)["auroc"]
    np.testing.assert_allclose(by_patient, once)
    assert by_image.std() < by_patient.std() / 2


def test_all_findings_draw_the_same_patients() -> None:
    scores, truth, units = sample(4, 40, 15)
    ranking = rank(scores, truth, units)
    both = replicate([ranking, None, ranking], 15, 30, seed=1)["auroc"]
    assert np.array_equal(both[:, 0], both[:, 2], equal_nan=True)
    assert np.isnan(both[:, 1]).all()


def test_the_interval_is_the_middle_of_the_replicates() -> None:
    measure = percentile(0.4, np.arange(101) / 100, 0.9)
    assert [measure.low, measure.high] == pytest.approx([0.05, 0.95])
    assert (measure.estimate, measure.undefined, measure.reason) == (0.4, 0, None)


def test_undefined_replicates_are_left_out_and_counted() -> None:
    measure = percentile(0.5, np.array([0.2, np.nan, 0.6]), 0.95)
    assert measure.undefined == 1
    assert measure.high == pytest.approx(0.59)


def test_mostly_undefined_replicates_make_no_interval() -> None:
    measure = percentile(0.5, np.array([0.2, np.nan, np.nan]), 0.95)
    assert (measure.low, measure.high, measure.undefined) == (None, None, 2)
    assert measure.reason == "no interval: undefined in 2 of 3 resamples"


def test_no_resamples_make_no_interval_and_no_fuss() -> None:
    assert percentile(0.5, np.array([]), 0.95) == Measure(0.5)


@pytest.mark.parametrize(
    ("truth", "units", "expected"),
    [
        ([1, 1, 0, 0], [0, 0, 1, 2], "no interval: all positive images belong to one patient"),
        ([1, 1, 0, 0], [0, 1, 2, 2], "no interval: all negative images belong to one patient"),
        ([1, 1, 0, 0], [0, 1, 1, 2], None),
    ],
)
def test_one_patient_has_no_spread(
    truth: list[float], units: list[int], expected: str | None
) -> None:
    assert one_unit_only(rank([4, 3, 2, 1], truth, units), "patient") == expected
