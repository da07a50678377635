"""Several ways to train, under one budget: which is best, by how much, and at what price.

`design` says what differs between arms; `runs` trains each with every seed, by a `training`
trainer, which works in `processes` of its own; `contest` chooses one on validation patients by
what `judging` measures, and only then reads the test; `result` is what was found, `files` what is
written of it, with `figures` and a `page`.
"""

from hilum.comparison.compare import compare_training
from hilum.comparison.design import AXES, STUDY, Arm, Design
from hilum.comparison.files import as_json, as_text, save
from hilum.comparison.result import Difference, Standing, TrainingComparison
from hilum.evaluate import Intervals

__all__ = [
    "AXES",
    "STUDY",
    "Arm",
    "Design",
    "Difference",
    "Intervals",
    "Standing",
    "TrainingComparison",
    "as_json",
    "as_text",
    "compare_training",
    "save",
]
