"""Kappa and majority votes, against scikit-learn, images laid out one by one, and real readers."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import ArrayLike, NDArray
from sklearn.metrics import cohen_kappa_score, f1_score, matthews_corrcoef

from hilum.errors import UsageError
from hilum.evaluate.agreement import Agreement, Cells, agree, kappa, majority
from hilum.evaluate.draws import Draws, Instrument, influence, replicate
from hilum.tables import Table, read_table

Floats = NDArray[np.float64]

COMPETITION = ("Atelectasis", "Cardiomegaly", "Consolidation", "Edema", "Pleural Effusion")


def readings(seed: int, n_readers: int, n: int, unknown: float = 0.1) -> Floats:
    rng = np.random.default_rng(seed)
    common = rng.normal(size=n)
    answers = (common + rng.normal(size=(n_readers, n)) > 0.4).astype(float)
    answers[rng.random(answers.shape) < unknown] = np.nan
    return answers


def one(agreement: Agreement, weights: ArrayLike | None = None) -> float:
    weight = np.ones(agreement.n_units) if weights is None else np.asarray(weights, float)
    return float(agreement.measure(weight[:, None])["kappa"][0])


# ---- kappa ----


def test_a_hand_worked_table() -> None:
    # 20 both, 5 and 10 one only, 15 neither: 0.7 observed, 0.5 by chance (Cohen's formula)
    first = np.repeat([1.0, 1, 0, 0], [20, 5, 10, 15])
    second = np.repeat([1.0, 0, 1, 0], [20, 5, 10, 15])
    assert kappa(first, second) == pytest.approx(0.4)
    agreement = agree([first, second])
    assert one(agreement) == pytest.approx(0.4)
    assert agreement.cells == (Cells(20, 5, 10, 15),)
    assert agreement.names == ("kappa",)


@given(st.integers(0, 10**6), st.integers(2, 5), st.integers(5, 60))
@settings(max_examples=40)
def test_kappa_of_many_classes_is_that_of_scikit_learn(seed: int, classes: int, n: int) -> None:
    rng = np.random.default_rng(seed)
    first = rng.integers(classes, size=n)
    second = np.where(rng.random(n) < 0.5, first, rng.integers(classes, size=n))
    first[0], second[0] = 0, 1  # or both could be constant, where scikit-learn warns
    weights = rng.random(n) + 0.1
    assert kappa(first, second) == pytest.approx(cohen_kappa_score(first, second))
    expected = cohen_kappa_score(first, second, sample_weight=weights)
    assert kappa(first, second, weights) == pytest.approx(expected)


@given(st.integers(0, 10**6), st.integers(1, 40))
@settings(max_examples=40)
def test_the_instrument_is_the_plain_function(seed: int, n: int) -> None:
    first, second = readings(seed, 2, n)
    weights = np.random.default_rng(seed).integers(3, size=(n, 4)).astype(float)
    expected = [kappa(first, second, weights[:, at]) for at in range(4)]
    np.testing.assert_allclose(agree([first, second]).measure(weights)["kappa"], expected)


def test_unknown_answers_leave_out_an_image_for_their_pair_only() -> None:
    panel = [[1, 0, 1, np.nan, 0, 1], [1, 0, 0, 1, 0, np.nan], [1, 1, 1, 1, 0, 0]]
    first, second, third = np.array(panel)
    pairs = [
        kappa([1, 0, 1, 0], [1, 0, 0, 0]),
        kappa([1, 0, 1, 0, 1], [1, 1, 1, 0, 0]),
        kappa([1, 0, 0, 1, 0], [1, 1, 1, 1, 0]),
    ]
    agreement = agree([first, second, third])
    assert one(agreement) == pytest.approx(np.mean(pairs))
    assert [cells.n for cells in agreement.cells] == [4, 5, 5]
    assert kappa(first, second) == pytest.approx(pairs[0])


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ([1, 1], [1, 1], np.nan),
        ([0, 0], [0, 0], np.nan),
        ([np.nan, 1], [1, np.nan], np.nan),
        ([], [], np.nan),
        ([1, 1], [0, 0], 0),  # by Cohen's formula: no agreement, and none by chance
        ([1, 1], [1, 0], 0),
        ([1, 0], [0, 1], -1),
        ([1, 0], [1, 0], 1),
    ],
)
def test_readers_who_never_vary(first: list[float], second: list[float], expected: float) -> None:
    np.testing.assert_equal(kappa(first, second), expected)
    np.testing.assert_equal(one(agree([first, second])), expected)
    assert np.isnan(agree([first, second]).influence()["kappa"]).all() == np.isnan(expected)


def test_a_panel_with_an_undefined_pair_has_no_average() -> None:
    votes = [[1, 1, 1], [1, 1, 1], [1, 0, 1]]
    agreement = agree(votes)
    assert np.isnan(one(agreement))
    assert np.isnan(one(agreement, [1, 1, 0]))
    assert np.isnan(agreement.influence()["kappa"]).all()


@given(st.integers(0, 10**6), st.integers(2, 4), st.integers(2, 25))
@settings(max_examples=30)
def test_weights_are_repetitions(seed: int, n_readers: int, n: int) -> None:
    answers = readings(seed, n_readers, n)
    rng = np.random.default_rng(seed)
    units = np.concatenate([np.arange(2), rng.integers(2, size=n - 2)])
    weights = rng.integers(4, size=2)
    repeated = np.repeat(answers, weights[units], axis=1)
    laid_out = one(agree(repeated)) if repeated.size else np.nan
    np.testing.assert_allclose(one(agree(answers, units), weights), laid_out)


@given(st.integers(0, 10**6), st.integers(2, 4), st.integers(20, 60))
@settings(max_examples=30)
def test_influence_is_the_derivative_by_a_units_weight(seed: int, n_readers: int, n: int) -> None:
    answers = readings(seed, n_readers, n)
    units = np.arange(n) % 7
    agreement = agree(answers, units)
    step = 1e-5
    nudged = np.hstack([np.ones((7, 7)) + sign * step * np.eye(7) for sign in (1, -1)])
    up, down = np.split(agreement.measure(nudged)["kappa"], 2)
    influence = agreement.influence()["kappa"]
    np.testing.assert_allclose(influence, (up - down) / (2 * step), atol=1e-7)
    np.testing.assert_allclose(influence.sum(), 0, atol=1e-12)


def test_kappa_is_an_instrument_like_any_other() -> None:
    answers = readings(0, 3, 400, unknown=0)
    panel: Instrument = agree(answers)
    drawn = replicate([[panel]], Draws(400, 500), panel.names)["kappa"]
    assert drawn.shape == (500, 1)
    assert np.sqrt((influence([[panel]], 400, panel.names)["kappa"] ** 2).sum()) == pytest.approx(
        drawn.std(), rel=0.1
    )


@given(st.integers(0, 10**6), st.integers(2, 4), st.integers(2, 40))
@settings(max_examples=30)
def test_the_names_and_order_of_readers_images_and_classes_do_not_matter(
    seed: int, n_readers: int, n: int
) -> None:
    answers = readings(seed, n_readers, n)
    rng = np.random.default_rng(seed)
    shuffled = answers[rng.permutation(n_readers)][:, rng.permutation(n)]
    np.testing.assert_allclose(one(agree(shuffled)), one(agree(answers)))
    np.testing.assert_allclose(one(agree(1 - answers)), one(agree(answers)))
    np.testing.assert_allclose(kappa(7 - 2 * answers[0], 7 - 2 * answers[1]), kappa(*answers[:2]))


@given(st.integers(0, 10**6), st.integers(5, 60))
@settings(max_examples=30)
def test_kappa_follows_from_agreement_prevalence_and_bias(seed: int, n: int) -> None:
    answers = readings(seed, 2, n, unknown=0)
    answers[:, 0] = 1, 0
    cells = agree(answers).cells[0]
    assert cells.observed == pytest.approx((answers[0] == answers[1]).mean())
    assert cells.bias == pytest.approx(answers[0].mean() - answers[1].mean())
    adjusted = 2 * cells.observed - 1
    shift = cells.bias**2 - cells.prevalence**2
    assert kappa(*answers) == pytest.approx((adjusted + shift) / (1 + shift))


def test_the_facts_of_no_images_are_undefined() -> None:
    nothing = Cells(0, 0, 0, 0)
    assert np.isnan([nothing.observed, nothing.prevalence, nothing.bias]).all()


def test_units_without_known_answers_keep_their_place() -> None:
    agreement = agree(np.array([[1, 0, np.nan], [1, 0, 1]]), units=[0, 1, 2], n_units=5)
    assert agreement.n_units == 5
    assert one(agreement) == 1
    assert (agreement.influence()["kappa"][2:] == 0).all()
    assert agreement.bytes_per_weighting > 0


# ---- majority ----


def test_the_majority_of_three() -> None:
    votes: list[list[float]] = [[1, 1, 0, 0, 1], [1, 0, 0, 1, np.nan], [1, 1, 0, 0, np.nan]]
    np.testing.assert_equal(majority(votes), [1, 1, 0, 0, 1])


@pytest.mark.parametrize(
    ("ties", "expected"), [("unknown", np.nan), ("positive", 1), ("negative", 0)]
)
def test_a_tie_is_what_it_is_said_to_be(ties: str, expected: float) -> None:
    votes = [[1, 1, 1, np.nan, 1], [0, 1, np.nan, np.nan, 0], [np.nan, 0, 0, np.nan, 0]]
    made = majority(votes, ties)  # type: ignore[arg-type]
    np.testing.assert_equal(made, [expected, 1, expected, np.nan, 0])


@given(st.integers(0, 10**6), st.integers(1, 6), st.integers(1, 20))
@settings(max_examples=30)
def test_the_majority_is_the_rounded_mean_of_the_known_votes(
    seed: int, n_readers: int, n: int
) -> None:
    votes = readings(seed, n_readers, n, unknown=0.3)
    for made, column in zip(majority(votes), votes.T, strict=True):
        known = column[~np.isnan(column)]
        share = known.mean() if known.size else 0.5
        expected = np.nan if share == 0.5 else float(share > 0.5)
        np.testing.assert_equal(made, expected)


# ---- real readers ----


def chexpert(data_dir: Path) -> tuple[Table, list[Table]]:
    """Return the truth and three radiologists' readings, rows and columns in the truth's order."""
    folder = data_dir / "chexpert-test-labels"
    truth = read_table(folder / "groundtruth.csv", "Study")
    readers = []
    for name in ("bc4", "bc6", "bc8"):
        table = read_table(folder / "benchmark_radiologists" / f"{name}.csv", "Study")
        place = {study: row for row, study in enumerate(table.ids)}
        readers.append(table.select(truth.findings).take([place[study] for study in truth.ids]))
    return truth, readers


def test_the_majority_of_three_radiologists_is_as_measured(data_dir: Path) -> None:
    truth, readers = chexpert(data_dir)
    f1, mcc = [], []
    for finding in COMPETITION:
        vote = majority([reader.column(finding) for reader in readers])
        f1.append(f1_score(truth.column(finding), vote))
        mcc.append(matthews_corrcoef(truth.column(finding), vote))
    assert np.round(f1, 4).tolist() == [0.7411, 0.7740, 0.4412, 0.6463, 0.7915]
    assert np.round(mcc, 4).tolist() == [0.6185, 0.6817, 0.4064, 0.5781, 0.7368]
    assert np.round([np.mean(f1), np.mean(mcc)], 4).tolist() == [0.6788, 0.6043]


def test_the_agreement_of_three_radiologists_is_that_of_their_pairs(data_dir: Path) -> None:
    _, readers = chexpert(data_dir)
    for finding in COMPETITION:
        columns = [reader.column(finding) for reader in readers]
        pairs = [cohen_kappa_score(columns[a], columns[b]) for a, b in ((0, 1), (0, 2), (1, 2))]
        assert one(agree(columns)) == pytest.approx(np.mean(pairs))


# ---- errors ----


def test_wrong_readings_are_refused() -> None:
    with pytest.raises(ValueError, match=r"must be \(n_readers, n_images\), got shape \(3,\)"):
        majority([1, 0, 1])
    with pytest.raises(ValueError, match="must be 1, 0 or NaN: decide about uncertain answers"):
        agree([[1, -1], [0, 1]])
    with pytest.raises(ValueError, match="agreement takes two readers or more, got 1"):
        agree([[1, 0]])
    with pytest.raises(ValueError, match=r"one number for each of the 2 images, got shape \(3,\)"):
        agree([[1, 0], [1, 1]], units=[0, 1, 2])


def test_wrong_answers_and_weights_are_refused() -> None:
    with pytest.raises(ValueError, match=r"of one length; got shapes \(2,\), \(3,\) and \(2,\)"):
        kappa([1, 0], [1, 0, 1])
    with pytest.raises(ValueError, match="weights must be 2 finite numbers, none below 0"):
        kappa([1, 0], [1, 0], [1, -1])


def test_an_unknown_kind_of_tie_is_refused() -> None:
    with pytest.raises(UsageError, match="ties must be one of unknown, positive, negative, got 'o"):
        majority([[1], [0]], ties="odd")  # type: ignore[arg-type]
