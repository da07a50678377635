"""What is resampled as a whole, and in which strata."""

import numpy as np
import pytest

from hilum.errors import TableError
from hilum.evaluate.plan import Plan
from hilum.evaluate.units import units_of
from hilum.tables import Table

NAN = float("nan")


def truth(**extra: tuple[str | None, ...]) -> Table:
    """Six images; of Edema one is uncertain and one unknown."""
    labels = np.array([[1, 0], [0, 0], [-1, 1], [0, 1], [NAN, 0], [0, 0]])
    return Table(tuple("fbdace"), ("Edema", "Mass"), labels, extra)


PATIENTS = ("p2", "p10", "p2", "p1", "p10", "p1")  # as text p1, p10, p2
SITES = ("north", "south", "north", "south", "south", "south")


def test_images_of_one_patient_are_one_unit() -> None:
    units = units_of(truth(patient_id=PATIENTS), Plan())
    assert units.numbers.tolist() == [2, 1, 2, 0, 1, 0]
    assert (units.count, units.name, units.singular) == (3, "patient_id", "patient")
    assert units.strata is None


def test_any_column_can_say_what_belongs_together() -> None:
    units = units_of(truth(patient_id=PATIENTS, site=SITES), Plan(by="site"))
    assert units.numbers.tolist() == [0, 1, 0, 1, 1, 1]
    assert (units.count, units.name, units.singular) == (2, "site", "site")


@pytest.mark.parametrize(
    ("table", "by"), [(truth(), "patient_id"), (truth(patient_id=PATIENTS), None)]
)
def test_without_patients_each_image_is_a_unit(table: Table, by: str | None) -> None:
    units = units_of(table, Plan(by=by))
    assert (units.count, units.name) == (6, "image")
    assert units.numbers.tolist() == [5, 1, 3, 0, 2, 4]  # in the order of their ids


@pytest.mark.parametrize("by", ["patient_id", None])
def test_units_keep_their_numbers_when_rows_change_places(by: str | None) -> None:
    table = truth(patient_id=PATIENTS)
    order = [3, 0, 5, 1, 4, 2]
    there, here = units_of(table.take(order), Plan(by)), units_of(table, Plan(by))
    assert there.numbers.tolist() == here.numbers[order].tolist()


def test_chexzero_numbers_the_rows_whatever_was_to_be_resampled() -> None:
    units = units_of(truth(patient_id=PATIENTS), Plan("patient_id", interval="chexzero"))
    assert units.numbers.tolist() == [0, 1, 2, 3, 4, 5]
    assert units.name == "image"


@pytest.mark.parametrize(("extra", "known"), [({}, "none"), ({"age": ("6",) * 6}, "age")])
def test_a_column_that_is_not_there(extra: dict[str, tuple[str, ...]], known: str) -> None:
    message = f"cannot resample by 'site': the truth's extra columns are: {known}$"
    with pytest.raises(TableError, match=message):
        units_of(truth(**extra), Plan("site"))


@pytest.mark.parametrize("column", ["patient_id", "site"])
def test_a_column_with_holes(column: str) -> None:
    holes = ("a", None, "b", "", "b", "b")
    message = f"cannot resample by '{column}': it is empty for 2 of the truth's 6 rows"
    with pytest.raises(TableError, match=message):
        units_of(truth(**{column: holes}), Plan(column))
    message = f"cannot stratify by '{column}': it is empty for 2 of the truth's 6 rows"
    with pytest.raises(TableError, match=message):
        units_of(truth(**{column: holes}), Plan(None, stratify=column))


def test_strata_of_a_column_are_strata_of_units() -> None:
    table = truth(patient_id=PATIENTS, site=("n", "s", "n", "w", "s", "w"))
    found = units_of(table, Plan(stratify="site")).strata
    assert found is not None
    assert found.tolist() == [2, 1, 0]  # p1 west, p10 south, p2 north


@pytest.mark.parametrize(
    ("policy", "expected"),
    [("ignore", [0, 0, 0, 0, 0, 1]), ("positive", [0, 0, 0, 1, 0, 1])],
)
def test_strata_of_a_finding_follow_the_policy_for_doubt(policy: str, expected: list[int]) -> None:
    # units are the ids in order; f has Edema, d may have it, c is unknown
    plan = Plan(None, stratify="Edema", policy=policy)  # type: ignore[arg-type]
    found = units_of(truth(), plan).strata
    assert found is not None
    assert found.tolist() == expected


def test_a_patient_with_the_finding_in_any_image_is_in_its_stratum() -> None:
    found = units_of(truth(patient_id=PATIENTS), Plan(stratify="mass")).strata
    assert found is not None
    assert found.tolist() == [1, 0, 1]


def test_a_column_named_like_a_finding_goes_before_it() -> None:
    table = truth(Mass=("no", "no", "no", "yes", "yes", "yes"))
    found = units_of(table, Plan(None, stratify="Mass")).strata
    assert found is not None
    assert found.tolist() == [1, 0, 1, 0, 1, 0]


def test_a_unit_in_two_strata_is_refused() -> None:
    table = truth(patient_id=PATIENTS, site=("n", "s", "w", "w", "s", "n"))
    message = (
        "cannot stratify by 'site': images of 2 of the 3 units lie in more than one of its 3 "
        "strata; every unit may lie in one"
    )
    with pytest.raises(TableError, match=message):
        units_of(table, Plan(stratify="site"))


def test_a_stratum_that_is_neither_a_column_nor_a_finding() -> None:
    message = (
        "cannot stratify by 'side': it is neither an extra column nor a finding of the truth; "
        "its findings are: Edema, Mass"
    )
    with pytest.raises(TableError, match=message):
        units_of(truth(), Plan(stratify="side"))
