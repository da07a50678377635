"""Any table of scores against any table of truth: by id, by name, with intervals.

`assess` is the way in and `result` what comes out. Between them, lowest first:

* what is measured of one finding, for any weighting of the patients: `ranking` (AUROC, average
  precision), `decisions` (F1, MCC, rates), `calibration` (Brier score, calibration error),
  `agreement` (kappa); `metrics` has them as plain functions, `curves` the points of the curves;
* what is said of its uncertainty: `draws` (resamples of patients), `intervals`, `delong`,
  `proportions`, `multiplicity`, `orh` (reader studies), `noninferiority`;
* what is fitted beforehand: `rules` and `thresholds`, `calibrators` and `recalibration`, and the
  guard in `tuning` that it was on other patients; `preparation` does both;
* tables joined into a `sample`, resampled into a `rater`, and written as a `scorecard`; a `panel`
  of readers with its `studies`, `subgroups`, `repeats` of one experiment.

A new statistic is an instrument (`draws.Instrument`): how it is measured for many weightings at
once, and its derivative by each patient's weight. Resampling, means, differences, readers and
subgroups then come for nothing.
"""

from hilum.evaluate.assess import compare, evaluate, read_pair
from hilum.evaluate.intervals import Interval, Intervals, Measure
from hilum.evaluate.metrics import (
    auroc,
    average_precision,
    confusion_metrics,
    partial_auroc,
)
from hilum.evaluate.plan import Plan
from hilum.evaluate.recalibration import fit_calibration
from hilum.evaluate.repeats import (
    Repeats,
    compare_repeats,
    evaluate_repeats,
    replicate_repeats,
)
from hilum.evaluate.result import Comparison, Metrics
from hilum.evaluate.scorecard import FindingMetrics
from hilum.evaluate.thresholds import choose_thresholds

__all__ = [
    "Comparison",
    "FindingMetrics",
    "Interval",
    "Intervals",
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
    "replicate_repeats",
]
