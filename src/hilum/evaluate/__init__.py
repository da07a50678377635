"""Any table of scores against any table of truth: by id, by name, with intervals.

`assess` joins the tables and is the way in; `metrics` holds the statistics, `intervals` the
resampling, `result` what comes out; `repeats` averages several draws of one experiment.
"""

from hilum.evaluate.assess import compare, evaluate, read_pair
from hilum.evaluate.intervals import Measure
from hilum.evaluate.metrics import auroc, average_precision
from hilum.evaluate.repeats import Repeats, compare_repeats, evaluate_repeats
from hilum.evaluate.result import Comparison, FindingMetrics, Metrics

__all__ = [
    "Comparison",
    "FindingMetrics",
    "Measure",
    "Metrics",
    "Repeats",
    "auroc",
    "average_precision",
    "compare",
    "compare_repeats",
    "evaluate",
    "evaluate_repeats",
    "read_pair",
]
