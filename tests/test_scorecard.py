"""What stands in a scorecard whatever interval was asked for."""

import numpy as np
import pytest

from hilum.evaluate import FindingMetrics, evaluate
from hilum.evaluate.intervals import percentile
from hilum.evaluate.plan import Plan
from hilum.evaluate.spread import Spread, to_measure
from hilum.tables import Table


def test_a_calibration_error_has_the_mirror_image_of_its_resamples() -> None:
    # resamples of a calibrated model are less calibrated: they lie above the estimate
    spread = Spread(np.array([0.02]), np.linspace(0.03, 0.05, 101)[:, None])
    found = to_measure(spread, 0, Plan(level=0.9), None, statistic="ece")
    assert found.low == 0.0
    assert found.high == pytest.approx(0.009)
    other = to_measure(spread, 0, Plan(level=0.9), None, statistic="brier")
    assert other == percentile(0.02, spread.replicates[:, 0], 0.9)


def test_a_difference_of_calibration_errors_may_be_negative_and_its_p_value_fits() -> None:
    spread = Spread(np.array([-0.02]), np.linspace(-0.03, 0.0, 301)[:, None])
    found = to_measure(spread, 0, Plan(level=0.9), None, tested=True, statistic="ece")
    assert found.low == pytest.approx(-0.0385)
    assert found.high == pytest.approx(-0.0115)
    assert found.p_value == 2 / 302


def test_the_interval_of_a_calibrated_models_error_holds_small_values() -> None:
    rng = np.random.default_rng(0)
    scores = rng.random((400, 1))
    truth = (rng.random((400, 1)) < scores).astype(float)
    ids = tuple(map(str, range(400)))
    found = evaluate(Table(ids, ("Mass",), scores), Table(ids, ("Mass",), truth), bootstrap=300)
    error = found.findings["Mass"].measures["ece"]
    assert error.low is not None
    assert error.estimate is not None
    assert error.low < error.estimate
    assert found.mean["ece"].low == error.low


def one_called(patients: tuple[str, ...]) -> FindingMetrics:
    """Six images, of which the first two are called positive; one of them is."""
    ids = tuple("abcdef")
    scores = Table(ids, ("Mass",), np.array([[0.9, 0.8, 0.4, 0.3, 0.2, 0.1]]).T)
    truth = np.array([[1, 0, 1, 0, 0, 1.0]]).T
    table = Table(ids, ("Mass",), truth, {"patient_id": patients})
    return evaluate(scores, table, threshold=0.5, bootstrap=50).findings["Mass"]


def test_a_predictive_value_of_one_patients_images_has_no_interval() -> None:
    found = one_called(("p", "p", "q", "r", "s", "t")).measures
    assert found["ppv"].reason == "no interval: all images called positive belong to one patient"
    assert found["ppv"].estimate == 0.5
    assert found["npv"].reason is None
    assert found["npv"].low is not None
    assert found["brier"].low is not None


def test_one_patient_alone_has_no_interval_for_anything() -> None:
    found = one_called(("p",) * 6).measures
    ranked = "no interval: all positive images belong to one patient"
    assert found["auroc"].reason == ranked
    for name in ("brier", "ece", "npv"):
        assert found[name].reason == "no interval: all known images belong to one patient"


@pytest.mark.parametrize("order", [("Edema", "Mass"), ("Mass", "Edema")])
def test_the_reason_of_a_mean_does_not_depend_on_the_order_of_the_findings(
    order: tuple[str, str],
) -> None:
    ids = tuple("abcd")
    truth = Table(
        ids,
        ("Edema", "Mass"),
        np.array([[1, 1], [0, 1], [0, 1.0], [0, 0]]),
        {"patient_id": ("p", "p", "q", "r")},
    )
    scores = Table(ids, ("Edema", "Mass"), np.array([[4, 4], [3, 3], [2, 2], [1.0, 1]]))
    found = evaluate(scores.select(order), truth.select(order), bootstrap=10)
    reason = found.mean["auroc"].reason
    assert reason == "no interval: all negative images belong to one patient"
