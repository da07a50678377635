"""Resampling by patient, against a loop that lays out every resample."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

import reference
from hilum.errors import UsageError
from hilum.evaluate import draws
from hilum.evaluate.decisions import decide
from hilum.evaluate.draws import Draws, Instrument, replicate
from hilum.evaluate.ranking import rank

Floats = NDArray[np.float64]
BOTH = ("auroc", "average_precision")


def sample(seed: int, n: int, n_units: int) -> tuple[Floats, Floats, NDArray[np.int64]]:
    rng = np.random.default_rng(seed)
    truth = rng.choice([0.0, 1.0, np.nan], size=n, p=[0.6, 0.3, 0.1])
    scores = np.round(rng.normal(size=n) + np.nan_to_num(truth), 1)
    units = np.concatenate([np.arange(n_units), rng.integers(n_units, size=n - n_units)])
    return scores, truth, units


def auroc_replicates(instrument: Instrument, draws: Draws) -> Floats:
    return replicate([[instrument]], draws, ["auroc"])["auroc"][:, 0]


@given(st.integers(0, 10**6), st.integers(2, 12), st.integers(0, 30))
def test_every_replicate_is_that_of_the_slow_loop(seed: int, n_units: int, more: int) -> None:
    scores, truth, units = sample(seed, n_units + more, n_units)
    fast = replicate([[rank(scores, truth, units)]], Draws(n_units, 7, seed), BOTH)
    for name, slow in (
        ("auroc", reference.auroc_by_pairs),
        ("average_precision", reference.average_precision_by_thresholds),
    ):
        expected = reference.bootstrap_by_loop(slow, scores, truth, units.tolist(), seed, 7)
        np.testing.assert_allclose(fast[name][:, 0], expected, atol=1e-12)


@pytest.mark.parametrize("chexzero", [False, True])
@pytest.mark.parametrize("strata", [None, np.array([0, 0, 1, 0, 1, 2, 0, 1, 0])])
def test_a_chunk_is_only_a_matter_of_memory(
    strata: NDArray[np.int64] | None, chexzero: bool
) -> None:
    if chexzero and strata is not None:
        return
    recipe = Draws(9, 50, 3, strata, chexzero)
    whole = np.hstack([counts for _, counts in recipe.counts(50)])
    parts = np.hstack([counts for _, counts in recipe.counts(7)])
    assert (whole == parts).all()
    assert (whole.sum(axis=0) == 9).all()


def test_little_memory_gives_the_same_replicates(monkeypatch: pytest.MonkeyPatch) -> None:
    scores, truth, units = sample(1, 60, 20)
    ranking = rank(scores, truth, units)
    roomy = auroc_replicates(ranking, Draws(20, 40, 5))
    monkeypatch.setattr(draws, "MEMORY", 1)
    assert np.array_equal(roomy, auroc_replicates(ranking, Draws(20, 40, 5)), equal_nan=True)


def test_the_number_of_cores_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    parts = [[rank(*sample(seed, 50, 20))] for seed in range(5)]
    found = []
    for count in (1, 4):
        monkeypatch.setattr(draws, "processors", lambda count=count: count)
        found.append(replicate(parts, Draws(20, 30), BOTH)["average_precision"])
    assert np.array_equal(found[0], found[1], equal_nan=True)


def test_strata_keep_their_sizes_and_are_drawn_within() -> None:
    strata = np.array([1, 0, 0, 1, 0])
    for _, counts in Draws(5, 200, 0, strata).counts(64):
        assert (counts[strata == 0].sum(axis=0) == 3).all()
        assert (counts[strata == 1].sum(axis=0) == 2).all()
        assert len(np.unique(counts[0])) == 3  # 0, 1 or 2 times


def test_chexzeros_resamples_are_those_of_the_published_seeds() -> None:
    drawn = np.random.RandomState(0).randint(0, 500, 500)
    assert drawn[:10].tolist() == [172, 47, 117, 192, 323, 251, 195, 359, 9, 211]
    (_, counts), *_ = Draws(500, 3, chexzero=True).counts(10)
    assert (counts[:, 0] == np.bincount(drawn, minlength=500)).all()
    third = np.random.RandomState(2).randint(0, 500, 500)
    assert (counts[:, 2] == np.bincount(third, minlength=500)).all()


def test_chexzeros_resamples_have_no_strata() -> None:
    with pytest.raises(UsageError, match="CheXzero's resamples have no strata"):
        Draws(3, 10, strata=np.zeros(3, dtype=np.int64), chexzero=True)


def test_images_copied_within_their_patients_widen_an_image_interval_falsely() -> None:
    # ten copies of each image add no information: by patient nothing changes, by image the
    # interval shrinks as if there were ten times as many patients
    scores, truth, _ = sample(2, 60, 60)
    copies = np.repeat(np.arange(60), 10)
    once = auroc_replicates(rank(scores, truth), Draws(60, 300))
    by_patient = auroc_replicates(rank(scores[copies], truth[copies], copies), Draws(60, 300))
    by_image = auroc_replicates(rank(scores[copies], truth[copies]), Draws(600, 300))
    np.testing.assert_allclose(by_patient, once)
    assert by_image.std() < by_patient.std() / 2


def test_all_findings_and_instruments_draw_the_same_patients() -> None:
    scores, truth, units = sample(4, 40, 15)
    ranking = rank(scores, truth, units)
    decisions = decide(scores > 0.5, truth, units)
    names = ("auroc", "f1")
    both = replicate([[ranking], [], [decisions, ranking]], Draws(15, 30, 1), names)
    assert np.array_equal(both["auroc"][:, 0], both["auroc"][:, 2], equal_nan=True)
    assert np.isnan(both["auroc"][:, 1]).all()
    assert np.isnan(both["f1"][:, :2]).all()
    assert not np.isnan(both["f1"][:, 2]).any()
