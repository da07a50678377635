"""What stands in a scorecard whatever interval was asked for."""

import numpy as np
import pytest

from hilum.evaluate import evaluate
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
