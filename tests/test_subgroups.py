"""Subgroups: which images are in them, their own numbers, and their distance from the rest."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hilum.errors import TableError, UsageError
from hilum.evaluate import Measure, Metrics, auroc, average_precision, evaluate
from hilum.evaluate.scorecard import FindingMetrics, Scorecard
from hilum.evaluate.subgroups import UNKNOWN, Grouping, Subgroup, parse_groupings
from hilum.tables import Table
from reference import auroc_by_pairs, bootstrap_by_loop
from reference_panel import FINDINGS, LIMIT, Booleans, Floats, case, table


def grouped(cells: list[str | None], column: str = "sex") -> Table:
    """Return a truth whose images have these cells."""
    ids = tuple(f"i{at}" for at in range(len(cells)))
    return Table(ids, ("Mass",), np.zeros((len(ids), 1)), {column: tuple(cells)})


def rows_of(text: str, cells: list[str | None], column: str = "sex") -> dict[str, list[int]]:
    found = Grouping.parse(text).rows(grouped(cells, column))
    return {name: np.flatnonzero(mask).tolist() for name, mask in found.items()}


# which images


def test_a_group_is_a_text_and_an_empty_cell_is_unknown() -> None:
    cells = ["M", "F", None, " F ", "", "  ", "M"]
    assert rows_of("sex", cells) == {"F": [1, 3], "M": [0, 6], UNKNOWN: [2, 4, 5]}
    assert list(rows_of("sex", cells)) == ["F", "M", UNKNOWN]
    assert list(rows_of("sex", ["b", "a"])) == ["a", "b"]


def test_a_band_goes_from_one_edge_up_to_but_not_including_the_next() -> None:
    cells = ["39.9", "40", "59", "60", "80", "1e2", None, "-5"]
    bands = rows_of("age=40,60,80", cells, "age")
    assert bands == {
        "below 40": [0, 7],
        "40 to below 60": [1, 2],
        "60 to below 80": [3],
        "80 and over": [4, 5],
        UNKNOWN: [6],
    }
    assert list(bands) == [
        "below 40", "40 to below 60", "60 to below 80", "80 and over", UNKNOWN,
    ]  # fmt: skip
    assert rows_of("age=0.5", ["0.25", "0.5"], "age") == {"below 0.5": [0], "0.5 and over": [1]}
    assert list(rows_of("age=2,10", ["20", "5"], "age")) == ["2 to below 10", "10 and over"]


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.integers(-5, 5), min_size=1, max_size=4, unique=True).map(sorted),
    st.lists(st.one_of(st.none(), st.floats(-6, 6)), min_size=1, max_size=12),
)
def test_every_image_is_in_one_band(edges: list[int], values: list[float | None]) -> None:
    cells = [None if value is None else repr(value) for value in values]
    found = Grouping("age", tuple(map(float, edges))).rows(grouped(cells, "age"))
    assert (np.sum(list(found.values()), axis=0) == 1).all()
    for name, mask in found.items():
        for at in np.flatnonzero(mask):
            value = values[at]
            assert (value is None) == (name == UNKNOWN)
            if value is not None:
                low, _, high = name.partition(" to below ")
                assert name.startswith("below") or value >= float(low.removesuffix(" and over"))
                assert name.endswith("over") or value < float(high or name.removeprefix("below"))


@pytest.mark.parametrize("text", ["age=", "age=a", "age=40,,60", "age=60,40", "age=4,4", "age=nan"])
def test_bands_are_ascending_numbers(text: str) -> None:
    got = text.partition("=")[2]
    message = r"^the bands of 'age' must be ascending numbers such as age=40,60,80; got " + repr(
        got
    )
    with pytest.raises(UsageError, match=message + "$"):
        Grouping.parse(text)
    with pytest.raises(UsageError, match="must be ascending numbers"):
        evaluate(*twice(), subgroups=[text])


def test_spaces_around_a_column_do_not_count() -> None:
    assert Grouping.parse(" sex ") == Grouping("sex")
    assert Grouping.parse("age = 40, 60") == Grouping("age", (40.0, 60.0))


def test_a_column_makes_subgroups_once() -> None:
    assert parse_groupings(["sex", "age=50"]) == [Grouping("sex"), Grouping("age", (50.0,))]
    message = "^'age' makes subgroups more than once: keep one, or give the truth the same column "
    with pytest.raises(UsageError, match=message + "under another name$"):
        evaluate(*twice(), subgroups=["age=50", "sex", "age=60"])


def test_a_column_that_is_not_there_is_refused() -> None:
    message = "^cannot group by 'site': the truth's extra columns are: patient_id, sex, age$"
    with pytest.raises(TableError, match=message):
        evaluate(*twice(), subgroups=["site"])
    bare = Table(("a",), ("Mass",), np.zeros((1, 1)))
    with pytest.raises(TableError, match=r"extra columns are: none$"):
        Grouping("site").rows(bare)


@pytest.mark.parametrize("cell", ["old", "inf", "nan", "40y"])
def test_a_band_needs_a_number(cell: str) -> None:
    message = f"^cannot put 'age' of 'i1' in a band: '{cell}' is not a number$"
    with pytest.raises(TableError, match=message):
        rows_of("age=40", ["50", cell, "60"], "age")


def test_an_id_makes_no_subgroups() -> None:
    many: list[str | None] = [str(at) for at in range(31)]
    message = (
        r"^cannot group by 'age': it has 31 values, at most 30 make subgroups; give a number "
        r"bands, such as age=40,60,80$"
    )
    with pytest.raises(TableError, match=message):
        rows_of("age", many, "age")
    assert len(rows_of("age", [*many[:30], None], "age")) == 31  # with those unknown


# their numbers


def twice(n: int = 80, seed: int = 0) -> tuple[Table, Table]:
    """Return scores and truth; two images per patient, one of each side, sexes by patient."""
    scores, truth, _ = case(n, readers=0, seed=seed)
    rng = np.random.default_rng(seed + 9)
    sexes = rng.choice(["F", "M", ""], p=[0.5, 0.4, 0.1], size=n // 2)
    extra: dict[str, tuple[str | None, ...]] = {
        **truth.extra,
        "sex": tuple(str(sexes[at // 2]) or None for at in range(n)),
        "age": tuple(str(30 + at // 2) for at in range(n)),
    }
    return scores, Table(truth.ids, FINDINGS, truth.values, extra)


def sides(truth: Table) -> Table:
    """Give every other image another view; each patient has both."""
    views = tuple(("PA", "LATERAL")[at % 2] for at in range(len(truth)))
    return Table(truth.ids, FINDINGS, truth.values, {**truth.extra, "view": views})


def mask(truth: Table, column: str, name: str) -> Booleans:
    return np.array([(cell or UNKNOWN) == name for cell in truth.extra[column]])


def measured(scores: Table, truth: Table, column: str, **settings: Any) -> dict[str, Subgroup]:
    found: Metrics = evaluate(scores, truth, subgroups=[column], **settings)
    return dict(found.subgroups[column.partition("=")[0]])


def same_estimates(one: Scorecard, two: Scorecard) -> None:
    assert one.n_in_mean == two.n_in_mean
    for name, found in one.findings.items():
        other: FindingMetrics = two.findings[name]
        assert (found.n, found.positives) == (other.n, other.positives)
        for statistic, measure in found.measures.items():
            again = other.measures[statistic]
            assert measure.estimate == pytest.approx(again.estimate, abs=1e-12)
            assert measure.reason == again.reason
    for statistic, measure in one.mean.items():
        assert measure.estimate == pytest.approx(two.mean[statistic].estimate, abs=1e-12)


@pytest.mark.parametrize("column", ["sex", "age=40,55", "view"])
def test_the_numbers_of_a_group_are_those_of_its_images_alone(column: str) -> None:
    scores, truth = twice()
    truth = sides(truth)
    settings: dict[str, Any] = {"threshold": LIMIT, "bootstrap": 0, "max_fpr": 0.5}
    whole = evaluate(scores, truth, **settings)
    groups = Grouping.parse(column).rows(truth)
    for name, group in measured(scores, truth, column, **settings).items():
        own = truth.take(groups[name])
        alone = evaluate(scores, own, **settings)
        same_estimates(group.card, alone)
        assert group.images == len(own) == groups[name].sum()
        assert group.units == alone.settings["units"] == len(set(own.extra["patient_id"]))
        rest = evaluate(scores, truth.take(~groups[name]), **settings)
        assert group.against_rest is not None
        for finding, found in group.against_rest.findings.items():
            for statistic, measure in found.measures.items():
                inside, outside = (
                    card.findings[finding].measures[statistic].estimate for card in (alone, rest)
                )
                if inside is not None and outside is not None:
                    assert measure.estimate == pytest.approx(inside - outside, abs=1e-12)
                else:
                    assert measure.estimate is None
    assert evaluate(scores, truth, **settings, subgroups=[column]).findings == whole.findings


@pytest.mark.parametrize("column", ["sex", "view"])
def test_everybody_is_resampled_and_a_group_is_looked_at_in_each_resample(column: str) -> None:
    scores, truth = twice(40)
    truth = sides(truth)
    found = measured(scores, truth, column, bootstrap=50, seed=4, statistics=("auroc",))
    name = "F" if column == "sex" else "LATERAL"
    rows, units = mask(truth, column, name), [at // 2 for at in range(40)]
    at = FINDINGS.index("Mass")
    labels = np.stack([np.where(side, truth.values[:, at], np.nan) for side in (rows, ~rows)], 1)

    def inside(drawn: Floats, both: Floats) -> float:
        return auroc_by_pairs(drawn, both[:, 0])

    def gap(drawn: Floats, both: Floats) -> float:
        return inside(drawn, both) - auroc_by_pairs(drawn, both[:, 1])

    group = found[name]
    assert group.against_rest is not None
    for card, score in ((group.card, inside), (group.against_rest, gap)):
        replicates = bootstrap_by_loop(score, scores.values[:, at], labels, units, 4, 50)
        defined = replicates[~np.isnan(replicates)]
        measure = card.findings["Mass"].measures["auroc"]
        assert measure.undefined == 50 - defined.size
        low, high = np.quantile(defined, [0.025, 0.975])
        assert (measure.low, measure.high) == pytest.approx((low, high), abs=1e-12)
    p_value = group.against_rest.findings["Mass"].measures["auroc"].p_value
    beyond = min((defined <= 0).sum(), (defined >= 0).sum())
    assert p_value == pytest.approx(min(1, 2 * (beyond + 1) / (defined.size + 1)))


def test_patients_who_are_in_both_groups_narrow_the_difference() -> None:
    scores, truth = twice(120)
    truth = sides(truth)
    values = np.repeat(scores.values[::2], 2, axis=0)  # both images of a patient alike
    labels = np.repeat(truth.values[::2], 2, axis=0)
    alike = Table(truth.ids, FINDINGS, labels, truth.extra)
    group = measured(table(values), alike, "view", bootstrap=200)["PA"]
    assert group.against_rest is not None
    gap = group.against_rest.mean["auroc"]
    assert (gap.estimate, gap.low, gap.high) == pytest.approx((0, 0, 0), abs=1e-12)
    assert group.card.mean["auroc"].low != group.card.mean["auroc"].high


def test_the_only_group_has_no_rest() -> None:
    scores, truth = twice()
    one = Table(truth.ids, FINDINGS, truth.values, {**truth.extra, "site": ("x",) * 80})
    found = measured(scores, one, "site", bootstrap=30)
    assert list(found) == ["x"]
    assert found["x"].against_rest is None
    whole = evaluate(scores, one, bootstrap=30)
    assert found["x"].card.findings == whole.findings
    assert found["x"].card.mean == whole.mean
    nothing = Table(truth.ids, FINDINGS, truth.values, {**truth.extra, "site": (None,) * 80})
    assert list(measured(scores, nothing, "site", bootstrap=0)) == [UNKNOWN]


def test_a_group_without_positives_says_so_and_so_does_its_difference() -> None:
    scores, truth = twice()
    women = mask(truth, "sex", "F")
    values = truth.values.copy()
    values[women, 1] = np.where(np.isnan(values[women, 1]), np.nan, 0)
    none = Table(truth.ids, FINDINGS, values, truth.extra)
    known = int((~np.isnan(values[women, 1])).sum())
    found = measured(scores, none, "sex", bootstrap=20)
    why = Measure(None, reason=f"none of the {known} known labels is positive")
    group = found["F"]
    assert group.against_rest is not None
    for card in (group.card, group.against_rest):
        assert card.findings["Mass"].measures["auroc"] == why
        assert card.n_in_mean["auroc"] == 2
    # for men the rest is not without positives: those whose sex is unknown have some
    other = found["M"].against_rest
    assert other is not None
    assert other.findings["Mass"].measures["auroc"].estimate is not None


def test_thresholds_and_calibration_hold_in_every_group() -> None:
    scores, truth = twice(200)
    settings: dict[str, Any] = {
        "threshold": "mcc", "calibrate": "platt", "tune_on_reported": True, "bootstrap": 0,
    }  # fmt: skip
    found = evaluate(scores, truth, subgroups=["sex"], **settings)
    assert found.calibration is not None
    assert found.thresholds is not None
    ready = found.calibration.apply(scores)
    own = truth.take(mask(truth, "sex", "M"))
    alone = evaluate(ready, own, threshold=found.thresholds, bootstrap=0)
    same_estimates(found.subgroups["sex"]["M"].card, alone)


def test_several_columns_each_have_their_groups() -> None:
    scores, truth = twice()
    found = evaluate(scores, truth, subgroups=["age=50", "sex"], bootstrap=20).subgroups
    assert list(found) == ["age", "sex"]
    assert list(found["age"]) == ["below 50", "50 and over"]
    assert list(found["sex"]) == ["F", "M", UNKNOWN]
    young, old = found["age"].values()
    assert young.against_rest is not None
    assert old.against_rest is not None
    for statistic, measure in young.against_rest.mean.items():
        turned = old.against_rest.mean[statistic]
        if measure.estimate is not None:
            assert turned.estimate == pytest.approx(-measure.estimate, abs=1e-12)
            assert turned.low is not None
            assert measure.high == pytest.approx(-turned.low, abs=1e-12)


def test_p_values_of_a_group_are_corrected_over_its_findings() -> None:
    scores, truth = twice()
    group = measured(scores, truth, "sex", bootstrap=39, holm=True)["F"]
    assert group.against_rest is not None
    values = [found.measures["auroc"] for found in group.against_rest.findings.values()]
    assert all(m.p_value is not None and m.p_adjusted is not None for m in values)
    assert all(m.p_adjusted >= m.p_value for m in values)  # type: ignore[operator]
    assert group.against_rest.mean["auroc"].p_adjusted is None
    assert group.card.findings["Mass"].measures["auroc"].p_adjusted is None


@pytest.mark.parametrize(
    ("statistic", "plain"), [("auroc", auroc), ("average_precision", average_precision)]
)
def test_plain_functions_give_the_same(statistic: str, plain: Any) -> None:
    scores, truth = twice()
    rows = mask(truth, "sex", "M")
    found = measured(scores, truth, "sex", bootstrap=0)["M"].card.findings
    for at, name in enumerate(FINDINGS):
        expected = plain(scores.values[rows, at], truth.values[rows, at])
        assert found[name].measures[statistic].estimate == pytest.approx(expected, abs=1e-12)
