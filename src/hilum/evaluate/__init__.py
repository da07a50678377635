"""Any table of scores against any table of truth: by id, by name, with intervals.

`assess` joins the tables and is the way in; `metrics` holds the statistics, `intervals` the
resampling, `result` what comes out; `repeats` averages several draws of one experiment.
"""

from hilum.evaluate.assess import compare, evaluate, read_pair
from hilum.evaluate.intervals import Interval, Measure
from hilum.evaluate.metrics import (
    auroc,
    average_precision,
    confusion_metrics,
    partial_auroc,
)
from hilum.evaluate.plan import Plan
from hilum.evaluate.recalibration import fit_calibration
from hilum.evaluate.repeats import Repeats, compare_repeats, evaluate_repeats
from hilum.evaluate.result import Comparison, Metrics
from hilum.evaluate.scorecard import FindingMetrics
from hilum.evaluate.thresholds import choose_thresholds

__all__ = [
    "Comparison",
    "FindingMetrics",
    "Interval",
    "Measure",
    "Metrics",
    "Plan",
    "Repeats",
    "auroc",
    "average_precision",
    "choose_thresholds",
    "compare",
    "compare_repeats",
    "confusion_metrics",
    "evaluate",
    "evaluate_repeats",
    "fit_calibration",
    "partial_auroc",
    "read_pair",
]
