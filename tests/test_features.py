"""Features: hand-worked patients, the slow version, no leak from the future, the real table."""

import csv
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

import reference_features as reference
from hilum.collection import Collection
from hilum.errors import CollectionError, UsageError
from hilum.features import INPUTS, Features, demographics, features_of
from hilum.features.inputs import FROM_THE_PAST
from hilum.features.past import Past
from hilum.features.table import beside
from hilum.features.visits import group_visits
from hilum.findings import apply_policy
from hilum.ingest import ingest
from reference_features import Image
from small_table import small_table

NAN = float("nan")
FINDINGS = ("Edema", "Mass", "No Finding")


def history(view: Collection, findings: Any = None, policy: Any = "ignore") -> Features:
    return features_of(view, ["history"], findings, policy)


# --------------------------------------------------------------------------- demographics


def test_demographics_are_numbers_with_flags_for_what_is_unknown(tmp_path: Path) -> None:
    view = small_table(
        tmp_path,
        [
            {"image_id": "a", "age": 50, "sex": "F", "view": "AP", "Edema": 1},
            {"image_id": "b", "age": 20, "sex": "M", "view": "PA", "Edema": 1},
            {"image_id": "c", "age": None, "sex": None, "view": None, "Edema": 1},
            {"image_id": "d", "age": 0, "sex": "M", "view": "LATERAL", "Edema": 1},
        ],
    )
    found = demographics(view)
    assert found.ids == ("a", "b", "c", "d")
    expected: dict[str, list[float]] = {
        "age": [0.5, 0.2, NAN, 0],
        "age squared": [0.25, 0.04, NAN, 0],
        "age known": [1, 1, 0, 1],
        "female": [1, 0, NAN, 0],
        "sex known": [1, 1, 0, 1],
        "AP": [1, 0, NAN, 0],
        "lateral": [0, 0, NAN, 1],
        "view known": [1, 1, 0, 1],
    }
    assert found.names == tuple(expected)
    for name, column in expected.items():
        np.testing.assert_allclose(found.column(name), column, rtol=1e-6, err_msg=name)


# --------------------------------------------------------------------------- one patient by hand

PATIENT = [  # rows in no order; two images at visit 2, whose labels differ
    {"image_id": "fourth", "visit": 3, "view": "AP", "age": 61, "Edema": 0, "Mass": 1},
    {"image_id": "first", "visit": 0, "view": "PA", "age": 58, "Edema": 1, "Mass": 0},
    {"image_id": "third-a", "visit": 2, "view": "PA", "age": 60, "Edema": 1, "Mass": None},
    {"image_id": "third-b", "visit": 2, "view": "AP", "age": 60, "Edema": 0, "Mass": -1},
    {"image_id": "second", "visit": 1, "view": "AP", "age": 58, "Edema": 0, "Mass": None},
    {"image_id": "stranger", "visit": 0, "view": "AP", "age": 40, "Edema": 1, "Mass": 1},
]
BY_HAND: dict[str, dict[str, list[float]]] = {
    # the columns of                fourth, first, third-a, third-b, second, stranger
    "history": {
        "has history": [1, 0, 1, 1, 1, 0],
        "earlier visits": [np.log(4), 0, np.log(3), np.log(3), np.log(2), 0],
        "years since": [1, NAN, 2, 2, 0, NAN],
        "years since known": [1, 0, 1, 1, 1, 0],
        "previous Edema": [1, NAN, 0, 0, 1, NAN],  # the third visit has it in one of two images
        "previous Edema known": [1, 0, 1, 1, 1, 0],
        "ever Edema": [1, NAN, 1, 1, 1, NAN],
        "rate Edema": [2 / 3, NAN, 1 / 2, 1 / 2, 1, NAN],
        "earlier Edema known": [1, 0, 1, 1, 1, 0],
        "previous Mass": [NAN, NAN, NAN, NAN, 0, NAN],  # uncertain, then silent
        "previous Mass known": [0, 0, 0, 0, 1, 0],
        "ever Mass": [0, NAN, 0, 0, 0, NAN],
        "rate Mass": [0, NAN, 0, 0, 0, NAN],
        "earlier Mass known": [1, 0, 1, 1, 1, 0],
    },
    "course": {
        "log odds Edema 0.5": [
            *(np.log(1.75 / 1.0), 0, np.log(1.0 / 1.5), np.log(1.0 / 1.5), np.log(3), 0)
        ],
        "log odds Edema 1": [np.log(2.5 / 1.5), 0, 0, 0, np.log(3), 0],
        "log odds Mass 1": [*(np.log(1 / 3), 0, np.log(1 / 3), np.log(1 / 3), np.log(1 / 3), 0)],
        "log odds Mass 0.5": [
            *(np.log(0.5 / 0.75), 0, np.log(0.5 / 1), np.log(0.5 / 1), np.log(1 / 3), 0)
        ],
        "previous findings": [1, NAN, 0, 0, 1, NAN],
        "mean findings": [2 / 3, NAN, 1 / 2, 1 / 2, 1, NAN],
        "mean findings known": [1, 0, 1, 1, 1, 0],
        "previous AP": [1 / 2, NAN, 1, 1, 0, NAN],
        "AP rate": [1 / 2, NAN, 1 / 2, 1 / 2, 0, NAN],
        "AP rate known": [1, 0, 1, 1, 1, 0],
    },
}


@pytest.fixture(scope="module")
def patient(tmp_path_factory: pytest.TempPathFactory) -> Collection:
    rows = [
        {"patient_id": "q" if row["image_id"] == "stranger" else "p", "split": "train", **row}
        for row in PATIENT
    ]
    return small_table(tmp_path_factory.mktemp("patient"), rows)


@pytest.mark.parametrize("name", BY_HAND)
def test_a_patient_worked_by_hand(patient: Collection, name: str) -> None:
    found = features_of(patient, [name])
    assert found.ids == tuple(str(row["image_id"]) for row in PATIENT)
    for column, expected in BY_HAND[name].items():
        np.testing.assert_allclose(found.column(column), expected, rtol=1e-6, err_msg=column)


def test_previous_is_the_part_of_history_that_the_previous_visit_tells(patient: Collection) -> None:
    part, whole = features_of(patient, ["previous"]), history(patient)
    assert part.names == ("has history", *(n for n in whole.names if n.startswith("previous")))
    for name in part.names:
        np.testing.assert_array_equal(part.column(name), whole.column(name))


@pytest.mark.parametrize(
    ("policy", "previous", "rate"), [("positive", 1, 0.5), ("negative", 0, 0), ("ignore", NAN, 0)]
)
def test_an_uncertain_label_of_an_earlier_visit_counts_as_the_policy_says(
    patient: Collection, policy: Any, previous: float, rate: float
) -> None:
    found = history(patient, ["mass"], policy)
    assert found.column("previous Mass")[0] == pytest.approx(previous, nan_ok=True)
    assert found.column("rate Mass")[0] == pytest.approx(rate)
    assert found.column("previous Mass known")[0] == (policy != "ignore")


def test_a_view_sees_the_visits_that_it_filters_out(patient: Collection) -> None:
    every, some = history(patient), history(patient.where("view = 'AP'"))
    assert some.ids == ("fourth", "third-b", "second", "stranger")
    rows = [every.ids.index(image) for image in some.ids]
    np.testing.assert_array_equal(some.values, every.values[rows])


def test_a_view_of_an_earlier_version_has_the_history_of_its_time(tmp_path: Path) -> None:
    person = {"patient_id": "a", "split": "train"}
    rows = [
        {**person, "image_id": "a0", "visit": 0, "Edema": 0},
        {**person, "image_id": "a1", "visit": 1, "Edema": 0},
    ]
    before = small_table(tmp_path, rows)
    added = {**person, "image_id": "a0-lateral", "visit": 0, "Edema": 1}
    after = small_table(tmp_path, [*rows, added])
    assert history(before).column("previous Edema")[1] == 0
    assert history(after).column("previous Edema")[1] == 1


def test_an_age_that_falls_tells_no_time(tmp_path: Path) -> None:
    rows = [
        {"image_id": f"i{n}", "patient_id": "p", "visit": n, "age": age, "Edema": 1}
        for n, age in enumerate([50, 49, None, 60])
    ]
    found = history(small_table(tmp_path, rows))
    np.testing.assert_array_equal(found.column("years since"), [NAN] * 4)
    assert found.column("years since known").tolist() == [0] * 4


# --------------------------------------------------------------------------- laws

labels = st.sampled_from([0.0, 1.0, -1.0, NAN])
images = st.builds(
    Image,
    patient=st.sampled_from("abc"),
    visit=st.integers(0, 4),
    labels=st.tuples(labels, labels, labels),
    age=st.sampled_from([NAN, 50.0, 51.0, 53.0]),
    view=st.sampled_from([None, "AP", "PA", "LATERAL"]),
)
cohorts = st.lists(images, min_size=1, max_size=14)
policies = st.sampled_from(["ignore", "positive", "negative"])


def past_of(cohort: list[Image], policy: Any = "ignore") -> Past:
    """Make the past of some images without a collection."""
    ap = [{"AP": 1.0, "PA": 0.0}.get(image.view or "", NAN) for image in cohort]
    visits = group_visits(
        np.array([image.patient for image in cohort]),
        np.array([image.visit for image in cohort]),
        np.array([image.labels for image in cohort]),
        np.array([image.age for image in cohort]),
        np.array(ap),
    )
    settled = apply_policy(visits.labels, policy).astype(np.float64)
    ids = tuple(f"i{n}" for n in range(len(cohort)))
    return Past(ids, visits.of_image, replace(visits, labels=settled), FINDINGS)


def past_columns(cohort: list[Image], policy: Any = "ignore") -> Features:
    past = past_of(cohort, policy)
    names = ("history", "course")
    return beside({name: past.to_images(FROM_THE_PAST[name](past), name) for name in names})


@given(cohorts, policies)
def test_features_are_those_of_the_slow_version(cohort: list[Image], policy: str) -> None:
    found = past_columns(cohort, policy)
    for row, image in enumerate(cohort):
        slow = reference.features(cohort, image, FINDINGS, policy)
        assert set(slow) == set(found.names)
        expected = [slow[name] for name in found.names]
        np.testing.assert_allclose(found.values[row], expected, rtol=1e-5, atol=1e-6)


@settings(max_examples=200)
@given(cohorts, st.integers(0, 13), st.tuples(labels, labels, labels), policies)
def test_no_label_of_the_same_or_a_later_visit_or_of_another_patient_changes_anything(
    cohort: list[Image], at: int, other: tuple[float, float, float], policy: str
) -> None:
    changed = cohort[at % len(cohort)]
    altered = [replace(i, labels=other) if i is changed else i for i in cohort]
    before, after = past_columns(cohort, policy), past_columns(altered, policy)
    free = [
        row
        for row, image in enumerate(cohort)
        if image.patient != changed.patient or image.visit <= changed.visit
    ]
    np.testing.assert_array_equal(before.values[free], after.values[free])


@given(cohorts, st.randoms(use_true_random=False))
def test_another_order_of_the_rows_gives_the_same_features_in_that_order(
    cohort: list[Image], chance: Any
) -> None:
    order = list(range(len(cohort)))
    chance.shuffle(order)
    found = past_columns([cohort[at] for at in order])
    np.testing.assert_array_equal(found.values, past_columns(cohort).values[order])


@given(cohorts)
def test_images_that_are_taken_away_later_in_time_change_nothing(cohort: list[Image]) -> None:
    limit = max(image.visit for image in cohort)
    kept = [row for row, image in enumerate(cohort) if image.visit < limit]
    if kept:
        some = past_columns([cohort[row] for row in kept])
        np.testing.assert_array_equal(some.values, past_columns(cohort).values[kept])


@pytest.mark.parametrize("name", INPUTS)
def test_every_column_that_is_unknown_somewhere_has_a_flag_that_says_so(
    patient: Collection, name: str
) -> None:
    found = features_of(patient, [name])
    flags = {tuple(found.column(n) == 0) for n in found.names if n.endswith("known")}
    flags.add(tuple(found.column("has history") == 0) if "has history" in found.names else ())
    for column in found.names:
        unknown = np.isnan(found.column(column))
        assert not unknown.any() or tuple(unknown) in flags, column


# --------------------------------------------------------------------------- the noun, refusals


def test_inputs_stand_side_by_side_and_can_be_taken_apart(patient: Collection) -> None:
    found = features_of(patient, ["demographics", "previous"], ["Mass"])
    assert found.groups == {"demographics": slice(0, 8), "previous": slice(8, 11)}
    assert found.names[8:] == ("has history", "previous Mass", "previous Mass known")
    np.testing.assert_array_equal(found.group("previous"), found.values[:, 8:])
    some = found.take([2, 0])
    assert some.ids == ("third-a", "fourth")
    np.testing.assert_array_equal(some.values, found.values[[2, 0]])
    assert found.values.dtype == np.float32


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        (["image"], "'image' is not an input without pixels; there are demographics, previous"),
        ([], "name each input once, and at least one; got None"),
        (["history", "history"], "name each input once, and at least one; got history, history"),
        (["previous", "history"], "history holds previous: name one of them"),
    ],
)
def test_inputs_that_make_no_sense_are_refused(
    patient: Collection, inputs: list[str], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        features_of(patient, inputs)


def test_wrong_names_and_policies_are_refused(patient: Collection) -> None:
    with pytest.raises(CollectionError, match="no finding 'Hernia' in this collection"):
        history(patient, ["Hernia"])
    with pytest.raises(UsageError, match="choose what an uncertain label of an earlier visit"):
        history(patient, policy="keep")
    with pytest.raises(UsageError, match="'coin' is not a label policy"):
        history(patient, policy="coin")
    found = demographics(patient)
    with pytest.raises(UsageError, match="there is no feature 'weight'; there are age, age sq"):
        found.column("weight")
    with pytest.raises(UsageError, match="there is no input 'history'; there are demographics"):
        found.group("history")


def test_features_that_do_not_fit_are_refused() -> None:
    values = np.zeros((2, 1), dtype=np.float32)
    one = Features(("a", "b"), ("x",), values, {"one": slice(0, 1)})
    with pytest.raises(ValueError, match=r"1 ids × 1 names cannot hold .* \(2, 1\)"):
        Features(("a",), ("x",), values, {})
    with pytest.raises(ValueError, match="a feature is there twice: x, x"):
        beside({"one": one, "two": one})
    with pytest.raises(ValueError, match="the parts are of different images"):
        beside({"one": one, "two": one.take([1, 0])})


# --------------------------------------------------------------------------- the real table

WEIGHTS = {  # negatives per positive, and the weight of a positive, in train_val
    "No Finding": (0.71, 0.4163), "Infiltration": (5.28, 0.8407),
    "Pleural Effusion": (8.99, 0.8999), "Atelectasis": (9.45, 0.9043), "Nodule": (17.4, 0.9456),
    "Mass": (20.4, 0.9534), "Pneumothorax": (31.8, 0.9695), "Consolidation": (29.3, 0.9670),
    "Pleural Thickening": (37.6, 0.9741), "Cardiomegaly": (49.7, 0.9803),
    "Emphysema": (59.8, 0.9836), "Edema": (61.8, 0.9841), "Fibrosis": (68.2, 0.9855),
    "Pneumonia": (97.8, 0.9899), "Hernia": (613, 0.9984),
}  # fmt: skip


@pytest.fixture(scope="module")
def chest14(data_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Collection:
    uri = tmp_path_factory.mktemp("real") / "all.lance"
    return ingest(data_dir / "metadata", uri, layout="nih", pixels=False).collection


def test_as_many_real_images_have_a_previous_visit_as_were_counted(chest14: Collection) -> None:
    for where, expected in (("", 81_315), ("split <> 'test'", 58_516), ("split = 'test'", 22_799)):
        view = chest14.where(where) if where else chest14
        assert history(view).column("has history").sum() == expected


def test_real_labels_are_as_rare_as_the_study_counted(chest14: Collection) -> None:
    found = chest14.where("split <> 'test'").labels()
    rare = (found.values == 1).mean(axis=0)
    for at, finding in enumerate(found.findings):
        ratio, positive = WEIGHTS[finding]
        assert (1 - rare[at]) / rare[at] == pytest.approx(ratio, abs=0.051 if ratio < 600 else 0.5)
        assert 1 - rare[at] == pytest.approx(positive, abs=5e-5)


def test_the_visit_before_is_that_of_follow_up_not_of_the_file(chest14: Collection) -> None:
    # patient 3: 00000003_001 is the first visit (age 74), 00000003_000 the last (age 81)
    found = features_of(chest14.where("patient_id = '3'"), ["demographics", "history"])
    ages = dict(zip(found.ids, np.rint(100 * found.column("age")), strict=True))
    first, last = "00000003_001.png", "00000003_000.png"
    assert (ages[first], ages[last]) == (74, 81)
    number = dict(zip(found.ids, np.rint(np.expm1(found.column("earlier visits"))), strict=True))
    assert (number[first], number[last]) == (0, len(found) - 1)


def test_real_labels_of_the_previous_visit_are_those_in_the_table(
    chest14: Collection, data_dir: Path
) -> None:
    found = history(chest14.where("patient_id IN ('3', '11', '10007')"))
    by_visit = _labels_by_follow_up(data_dir, {"3", "11", "10007"})
    suffix_differs = 0
    for row, image in enumerate(found.ids):
        person, number = by_visit[image][:2]
        previous = [
            labels for who, n, labels in by_visit.values() if (who, n) == (person, number - 1)
        ]
        suffix_differs += int(image[9:12]) != number
        for finding, name in (("Hernia", "Hernia"), ("Pleural Effusion", "Effusion")):
            expected = float(name in previous[0]) if previous else NAN
            got = found.column(f"previous {finding}")[row]
            assert got == pytest.approx(expected, nan_ok=True), (image, finding)
    assert suffix_differs > 20


def _labels_by_follow_up(data_dir: Path, people: set[str]) -> dict[str, tuple[str, int, set[str]]]:
    import gzip

    with gzip.open(data_dir / "metadata" / "Data_Entry_2017_v2020.csv.gz", "rt") as lines:
        rows = list(csv.reader(lines))[1:]
    return {
        row[0]: (str(int(row[3])), int(row[2]), set(row[1].split("|")))
        for row in rows
        if str(int(row[3])) in people
    }


def test_the_whole_real_table_agrees_with_a_loop_over_a_sample(chest14: Collection) -> None:
    table = chest14.table(["image_id", "patient_id", "visit", "Edema", "Hernia"])
    found = history(chest14, ["Edema", "Hernia"])
    rng = np.random.default_rng(0)
    columns: dict[str, NDArray[Any]] = {n: table[n].to_numpy() for n in table.columns}
    for row in rng.choice(len(found), 40, replace=False):
        same = columns["patient_id"] == columns["patient_id"][row]
        earlier = same & (columns["visit"] < columns["visit"][row])
        for finding in ("Edema", "Hernia"):
            rate = columns[finding][earlier].mean() if earlier.any() else NAN
            assert found.column(f"rate {finding}")[row] == pytest.approx(rate, nan_ok=True)
