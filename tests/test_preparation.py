"""What is fitted before anything is measured, and what is said of it."""

import json
from typing import Any

import numpy as np
import pytest

from hilum.errors import UsageError
from hilum.evaluate import Measure, Metrics, compare, evaluate
from hilum.evaluate.preparation import Prepared, prepare
from hilum.evaluate.recalibration import fit_calibration
from hilum.evaluate.rules import Choice, Rule, choose
from hilum.evaluate.thresholds import Thresholds, choose_thresholds, fixed_thresholds
from hilum.evaluate.tuning import known
from hilum.tables import Table
from reference_panel import FINDINGS, case

Pair = tuple[Table, Table]


def pair(n: int = 120, seed: int = 0, prefix: str = "") -> Pair:
    """Return scores and truth; with a prefix, of other images and other patients."""
    scores, truth, _ = case(n, readers=0, seed=seed)
    ids = tuple(prefix + image for image in truth.ids)
    patients = tuple(prefix + str(patient) for patient in truth.extra["patient_id"])
    return (
        Table(ids, FINDINGS, scores.values),
        Table(ids, FINDINGS, truth.values, {"patient_id": patients}),
    )


def sharp(scores: Table) -> Table:
    """Make probabilities too extreme."""
    odds = 3 * (scores.values - 0.4) / 0.25
    return Table(scores.ids, FINDINGS, 1 / (1 + np.exp(-odds)))


def measured(metrics: Metrics, statistic: str) -> list[Measure]:
    return [found.measures[statistic] for found in metrics.findings.values()]


def estimates(metrics: Metrics, statistic: str) -> list[float | None]:
    return [measure.estimate for measure in measured(metrics, statistic)]


# where thresholds come from


@pytest.mark.parametrize("rule", ["mcc", "f1", "youden", "sensitivity=0.9", "specificity=0.8"])
def test_a_rule_is_applied_to_the_validation_table_and_reported_on_the_other(rule: str) -> None:
    (scores, truth), (own, labels) = pair(), pair(seed=1, prefix="v")
    found = evaluate(scores, truth, threshold=rule, validation=(own, labels), bootstrap=0)
    assert found.thresholds is not None
    assert (found.thresholds.rule, found.thresholds.optimistic) == (rule, None)
    for at, name in enumerate(FINDINGS):
        choice = choose(known(own.values[:, at], labels.values[:, at]), _parsed(rule))
        assert choice.threshold is not None
        assert found.thresholds.of(name) == choice
        called = scores.values[:, at] >= choice.threshold
        positive = truth.values[:, at] == 1
        sensitivity = found.findings[name].measures["sensitivity"].estimate
        assert sensitivity == (called & positive).sum() / positive.sum()
    assert found.remarks() == []


def _parsed(rule: str) -> Rule:
    name, _, target = rule.partition("=")
    return Rule(name, float(target) if target else None)


@pytest.mark.parametrize("threshold", [0.5, "0.5", Rule("fixed", 0.5)])
def test_a_number_needs_no_validation_and_is_everybodys(threshold: Any) -> None:
    found = evaluate(*pair(), threshold=threshold, bootstrap=0)
    assert found.thresholds == fixed_thresholds(0.5, FINDINGS)


def test_thresholds_from_elsewhere_are_taken_as_they_are() -> None:
    scores, truth = pair()
    limits = Thresholds(
        {"Edema": Choice(0.5), "Mass": Choice(None, reason="its cell in t.csv is empty")},
        "given",
        "t.csv",
    )
    found = evaluate(scores, truth, threshold=limits, bootstrap=0)
    assert found.thresholds is limits
    fixed = evaluate(scores, truth, threshold=0.5, bootstrap=0)
    assert found.findings["Edema"] == fixed.findings["Edema"]
    for name, why in (
        ("Mass", "no threshold, its cell in t.csv is empty"),
        ("Pneumonia", "no threshold, t.csv has none for it"),
    ):
        assert found.findings[name].measures["f1"] == Measure(None, reason=why)
        assert found.findings[name].measures["auroc"].estimate is not None
    assert found.n_in_mean["f1"] == 1


def test_no_threshold_leaves_readings_out_without_a_remark() -> None:
    found = evaluate(*pair(), bootstrap=0)
    assert found.thresholds is None
    why = Measure(None, reason="no threshold was given")
    assert measured(found, "f1") == measured(found, "npv") == [why] * 3
    assert found.remarks() == []


def test_what_cannot_be_tuned_says_why_in_the_numbers_and_once_in_the_remarks() -> None:
    (scores, truth), (own, labels) = pair(), pair(seed=1, prefix="v")
    values = labels.values.copy()
    values[:, 1] = np.where(np.isnan(values[:, 1]), np.nan, 0)
    known = int((~np.isnan(values[:, 1])).sum())
    few = Table(labels.ids, FINDINGS, values, labels.extra).select(["Edema", "Mass"])
    found = evaluate(scores, truth, threshold="mcc", validation=(own, few), bootstrap=0)
    why = f"no threshold, none of the {known} known labels is positive"
    assert found.findings["Mass"].measures["mcc"] == Measure(None, reason=why)
    missing = "no threshold, the validation table has none for it"
    assert found.findings["Pneumonia"].measures["mcc"] == Measure(None, reason=missing)
    assert found.findings["Mass"].measures["auroc"].estimate is not None
    assert found.remarks() == [f"Mass: {why}.", f"Pneumonia: {missing}."]
    content = json.loads(json.dumps(found.to_json(), allow_nan=False))
    assert content["undefined"]["Mass"]["f1"] == {"reason": why, "resamples": 0}
    assert content["thresholds"]["findings"]["Mass"]["reason"] in why


# calibration


@pytest.mark.parametrize("method", ["temperature", "platt", "isotonic"])
def test_scores_are_calibrated_by_the_validation_table(method: str) -> None:
    (scores, truth), (own, labels) = pair(400), pair(400, seed=1, prefix="v")
    scores, own = sharp(scores), sharp(own)
    found = evaluate(scores, truth, calibrate=method, validation=(own, labels), bootstrap=50)
    expected = fit_calibration(own, labels, method)
    assert found.calibration == expected
    by_hand = evaluate(expected.apply(scores), truth, bootstrap=50)
    assert found.findings == by_hand.findings
    before = found.uncalibrated
    assert before is not None
    plain = evaluate(scores, truth, bootstrap=50)
    for name in FINDINGS:
        raw, mended = before.findings[name].measures, found.findings[name].measures
        assert raw.keys() == {"brier", "ece"}
        for statistic, measure in raw.items():
            assert measure == plain.findings[name].measures[statistic]
        assert mended["brier"].estimate is not None
        assert raw["brier"].estimate is not None
        assert mended["brier"].estimate < raw["brier"].estimate
    content = found.to_json()["calibration"]
    assert content["before"]["mean"]["brier"]["estimate"] == before.mean["brier"].estimate
    assert content["before"]["undefined"] == {}


def test_uncalibrated_scores_have_no_before() -> None:
    assert evaluate(*pair(), bootstrap=0).uncalibrated is None
    found = evaluate(
        *pair(), calibrate="platt", validation=pair(seed=1, prefix="v"), statistics=("auroc",),
        bootstrap=0,
    )  # fmt: skip
    assert found.uncalibrated is None
    assert found.to_json()["calibration"]["before"] is None


def test_thresholds_are_chosen_on_calibrated_scores() -> None:
    (scores, truth), (own, labels) = pair(200), pair(200, seed=1, prefix="v")
    ready = prepare(
        sharp(scores), truth, "ignore",
        validation=(sharp(own), labels), threshold="mcc", calibrate="platt",
    )  # fmt: skip
    calibration = fit_calibration(sharp(own), labels, "platt")
    assert ready.calibration == calibration
    assert ready.thresholds == choose_thresholds(calibration.apply(sharp(own)), labels, "mcc")
    assert ready.scores.values.tolist() == calibration.apply(sharp(scores)).values.tolist()
    # a rising map moves the thresholds with the scores: the decisions stay
    plain = evaluate(
        sharp(scores), truth, threshold="mcc", validation=(sharp(own), labels), bootstrap=0
    )
    found = evaluate(
        sharp(scores), truth, threshold="mcc", calibrate="platt",
        validation=(sharp(own), labels), bootstrap=0,
    )  # fmt: skip
    for statistic in ("f1", "mcc", "auroc"):
        assert estimates(found, statistic) == pytest.approx(estimates(plain, statistic))
    assert plain.thresholds is not None
    assert found.thresholds is not None
    assert found.thresholds.numbers() != plain.thresholds.numbers()


def test_a_fixed_threshold_is_one_of_calibrated_scores() -> None:
    (scores, truth), validation = pair(200), pair(200, seed=1, prefix="v")
    found = evaluate(
        scores, truth, threshold=0.4, calibrate="platt", validation=validation, bootstrap=0
    )
    assert found.calibration is not None
    called = found.calibration.apply(scores).values[:, 0] >= 0.4
    positive = truth.values[:, 0] == 1
    expected = (called & positive).sum() / positive.sum()
    assert found.findings["Edema"].measures["sensitivity"].estimate == expected


def test_what_cannot_be_calibrated_has_no_numbers_and_says_why() -> None:
    (scores, truth), (own, labels) = pair(), pair(seed=1, prefix="v")
    values = np.where(np.isnan(labels.values), np.nan, labels.values)
    values[:, 2] = 1
    one_class = Table(labels.ids, FINDINGS, values, labels.extra)
    found = evaluate(
        scores, truth, threshold="mcc", calibrate="platt", validation=(own, one_class), bootstrap=0
    )
    why = "no scores: not calibrated: none of the 120 known labels is negative"
    assert found.findings["Pneumonia"].measures["auroc"] == Measure(None, reason=why)
    assert found.findings["Edema"].measures["f1"].estimate is not None
    assert found.remarks()[:2] == [
        "Pneumonia: not calibrated, none of the 120 known labels is negative.",
        "Pneumonia: no threshold, none of the 120 known labels is negative.",
    ]


# the guard


def overlapping(kind: str) -> tuple[Pair, Pair]:
    """Return a reported and a validation pair that share an image or a patient."""
    reported, (own, labels) = pair(), pair(seed=1, prefix="v")
    ids, patients = list(own.ids), list(labels.extra["patient_id"])
    if kind == "image":
        ids[3] = "i007"
    else:
        patients[3] = "p001"
    again = Table(tuple(ids), FINDINGS, labels.values, {"patient_id": tuple(patients)})
    return reported, (Table(again.ids, FINDINGS, own.values), again)


@pytest.mark.parametrize("settings", [{"threshold": "mcc"}, {"calibrate": "platt"}])
@pytest.mark.parametrize(
    ("kind", "shared"),
    [
        ("image", "1 of the 120 validation images; the first image is 'i007'"),
        ("patient", "1 patient"),
    ],
)
def test_nothing_is_tuned_on_what_is_reported(
    kind: str, shared: str, settings: dict[str, Any]
) -> None:
    reported, validation = overlapping(kind)
    with pytest.raises(UsageError, match=rf"On both sides: {shared}\. Leave them out"):
        evaluate(*reported, validation=validation, bootstrap=0, **settings)


@pytest.mark.parametrize("kind", ["image", "patient"])
def test_tuning_on_what_is_reported_is_said_once(kind: str) -> None:
    reported, validation = overlapping(kind)
    found = evaluate(
        *reported, validation=validation, threshold="mcc", calibrate="platt",
        tune_on_reported=True, bootstrap=0,
    )  # fmt: skip
    what = {"image": "1 of the 120 validation images", "patient": "1 patient"}[kind]
    remark = f"Tuned on what is reported ({what} on both sides): the figures are optimistic."
    assert found.remarks().count(remark) == 1
    assert found.thresholds is not None
    assert found.calibration is not None
    assert found.thresholds.optimistic == found.calibration.optimistic == remark
    assert found.to_json()["thresholds"]["optimistic"] == remark


def test_without_a_validation_table_the_reported_one_may_be_tuned_on_if_told_so() -> None:
    scores, truth = pair()
    found = evaluate(scores, truth, threshold="youden", tune_on_reported=True, bootstrap=0)
    expected = choose_thresholds(scores, truth, "youden")
    assert found.thresholds is not None
    assert found.thresholds.findings == expected.findings
    assert found.remarks() == [
        "Tuned on what is reported (120 of the 120 validation images and 60 patients on both "
        "sides): the figures are optimistic."
    ]


def test_tables_that_are_apart_get_no_remark_although_it_was_allowed() -> None:
    validation = pair(seed=1, prefix="v")
    found = evaluate(
        *pair(), threshold="mcc", validation=validation, tune_on_reported=True, bootstrap=0
    )
    assert found.remarks() == []


@pytest.mark.parametrize(
    ("settings", "what"),
    [
        ({"threshold": "mcc"}, "that rule for thresholds"),
        ({"calibrate": "platt"}, "the calibration 'platt'"),
        ({"threshold": 0.5, "calibrate": "platt"}, "the calibration 'platt'"),
    ],
)
def test_a_rule_without_a_validation_table_is_refused(settings: dict[str, Any], what: str) -> None:
    message = (
        rf"^{what} is fitted to validation images: give their scores and truth \(--tune-scores "
        r"and --tune-truth\), or allow tuning on the images that are reported "
        r"\(--tune-on-reported\), which marks the result as optimistic$"
    )
    with pytest.raises(UsageError, match=message):
        evaluate(*pair(), bootstrap=0, **settings)


@pytest.mark.parametrize("threshold", [None, 0.5, fixed_thresholds(0.5, FINDINGS)])
@pytest.mark.parametrize("given", [{"validation": pair(prefix="v")}, {"tune_on_reported": True}])
def test_a_validation_table_without_use_is_refused(threshold: Any, given: dict[str, Any]) -> None:
    message = (
        r"^nothing is to be tuned, so that a validation table and tune_on_reported "
        r"\(--tune-on-reported\) have no use: name a rule for thresholds, such as mcc, or a "
    )
    with pytest.raises(UsageError, match=message + "calibration$"):
        evaluate(*pair(), threshold=threshold, bootstrap=0, **given)


def test_a_rule_that_is_none_is_refused() -> None:
    with pytest.raises(UsageError, match="'best' is not a rule for thresholds; choose mcc, f1"):
        evaluate(*pair(), threshold="best", validation=pair(seed=1, prefix="v"))
    with pytest.raises(UsageError, match="'sigmoid' is not a calibration; choose from temperature"):
        evaluate(*pair(), calibrate="sigmoid", validation=pair(seed=1, prefix="v"))


# two models


def test_each_model_of_a_comparison_keeps_its_thresholds_and_what_is_to_be_said_of_them() -> None:
    scores, truth = pair()
    tuned = evaluate(scores, truth, threshold="mcc", tune_on_reported=True, bootstrap=0).thresholds
    found = compare(scores, sharp(scores), truth, thresholds=(tuned, 0.5), bootstrap=0)
    assert found.first.thresholds is tuned
    assert found.second.thresholds == fixed_thresholds(0.5, FINDINGS)
    assert found.difference.thresholds is None
    assert any("the figures are optimistic" in line for line in found.first.remarks())
    assert found.to_json()["first"]["thresholds"]["rule"] == "mcc"


def test_limits_are_numbers_or_reasons() -> None:
    scores, _ = pair()
    assert Prepared(scores).limits == {}
    limits = Thresholds({"Edema": Choice(0.25), "Mass": Choice(None, reason="why")}, "given", "t")
    assert Prepared(scores, limits).limits == {
        "Edema": 0.25,
        "Mass": "no threshold, why",
        "Pneumonia": "no threshold, t has none for it",
    }
