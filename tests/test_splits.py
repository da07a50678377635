"""Splits: by patient, by a keyed hash, stable under growth, and never leaking."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hilum.collection.splits import Fractions, assign, check_fractions, check_leaks, place
from hilum.errors import LeakError, UsageError

HALVES = Fractions(0.5, 0.25, 0.25)
patients_of_images = st.lists(st.integers(0, 20).map(str), max_size=60)
seeds = st.integers(0, 5)


@given(patients=patients_of_images, seed=seeds)
def test_no_patient_is_on_two_sides(patients: list[str], seed: int) -> None:
    drawn = assign(patients, [None] * len(patients), seed=seed, fractions=HALVES)
    check_leaks(patients, drawn)
    assert set(drawn) <= {"train", "val", "test"}


@given(patients=patients_of_images, more=patients_of_images, seed=seeds)
def test_nobody_moves_when_the_collection_grows(
    patients: list[str], more: list[str], seed: int
) -> None:
    before = assign(patients, [None] * len(patients), seed=seed)
    grown = [*more, *patients]
    after = assign(grown, [None] * len(grown), seed=seed)
    assert after[len(more) :] == before


def test_fractions_are_met_within_one_percent_for_the_patients_of_nih() -> None:
    patients = [str(n) for n in range(1, 30_806)]
    shares = Counter(assign(patients, [None] * len(patients), fractions=Fractions(0.7, 0.2, 0.1)))
    assert shares["train"] / 30_805 == pytest.approx(0.7, abs=0.01)
    assert shares["val"] / 30_805 == pytest.approx(0.2, abs=0.01)
    assert shares["test"] / 30_805 == pytest.approx(0.1, abs=0.01)


def test_another_seed_is_an_independent_draw() -> None:
    patients = [str(n) for n in range(4000)]
    one = assign(patients, [None] * 4000, seed=1, fractions=HALVES)
    two = assign(patients, [None] * 4000, seed=2, fractions=HALVES)
    agree = sum(a == b for a, b in zip(one, two, strict=True)) / 4000
    assert agree == pytest.approx(0.5**2 + 2 * 0.25**2, abs=0.04)


def test_a_place_never_changes_between_versions_of_hilum() -> None:
    assert place("00000013", 0) == pytest.approx(0.76515, abs=1e-5)
    assert place("00000013", 0) != place("00000013", 1)


def test_what_the_source_says_is_kept() -> None:
    given = ["test", "val", "train", "test"]
    assert assign(["a", "b", "c", "a"], given) == given


def test_trainval_is_drawn_between_train_and_val_in_their_proportion() -> None:
    patients = [str(n) for n in range(8000)]
    drawn = Counter(assign(patients, ["trainval"] * 8000, fractions=Fractions(0.6, 0.2, 0.2)))
    assert set(drawn) == {"train", "val"}
    assert drawn["val"] / 8000 == pytest.approx(0.25, abs=0.015)


def test_no_val_fraction_makes_all_of_trainval_train() -> None:
    patients = [str(n) for n in range(200)]
    assert set(assign(patients, ["trainval"] * 200, fractions=Fractions(0.9, 0, 0.1))) == {"train"}


def test_an_image_without_a_split_follows_its_patient() -> None:
    patients = [str(n) for n in range(50)]
    drawn = assign([*patients, *patients], [*["test"] * 50, *[None] * 50])
    assert set(drawn) == {"test"}


def test_a_source_that_leaks_is_refused_with_examples() -> None:
    with pytest.raises(LeakError, match=r"2 of 3 patients .*\(a in test and train; c in test and"):
        assign(["a", "a", "b", "c", "c"], ["train", "test", "train", "val", "test"])


def test_the_leak_check_finds_a_leak() -> None:
    check_leaks(["a", "a", "b"], ["train", "train", "test"])
    with pytest.raises(LeakError, match=r"1 of 2 patients are in more than one split \(a in test"):
        check_leaks(["a", "a", "b"], ["train", "test", "test"])


@pytest.mark.parametrize(
    "wrong",
    [(0.5, 0.5), (0.5, 0.6, 0.1), (1.2, -0.2, 0.0), (float("nan"), 0.5, 0.5), (0, 0.5, 0.5)],
)
def test_shares_that_are_none_are_refused(wrong: tuple[float, ...]) -> None:
    with pytest.raises(UsageError, match=r"three numbers from 0 to 1 with sum 1 .* got"):
        check_fractions(wrong)
