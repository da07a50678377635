"""Plots as matplotlib figures, legible on a phone and without colour vision.

Figures are made with matplotlib's object interface: there is no current figure, nothing to close
and no window. They are five inches wide, so that an 11-point letter is still 11 pixels high on a
390-pixel screen. Colours are those of Okabe and Ito, told apart under the common colour vision
deficiencies; lines are labelled where they are, and series differ in marker too.
"""

from hilum.plots.calibration import ReliabilityPanel, ReliabilitySeries, reliability
from hilum.plots.canvas import GREY, INK, MARKERS, PALE, PALETTE
from hilum.plots.counts import bars, histogram
from hilum.plots.embeddings import embedding_map, patient_map, principal_plane
from hilum.plots.forests import differences, forest, readers
from hilum.plots.frontiers import Curve as LabelCurve
from hilum.plots.frontiers import Mark, Panel, frontiers
from hilum.plots.groups import SubgroupPanel, SubgroupRow, subgroups
from hilum.plots.learning import training_curve
from hilum.plots.operating import Band, Curve, CurvePanel, OperatingPoint, precision_recall, roc

__all__ = [
    "GREY",
    "INK",
    "MARKERS",
    "PALE",
    "PALETTE",
    "Band",
    "Curve",
    "CurvePanel",
    "LabelCurve",
    "Mark",
    "OperatingPoint",
    "Panel",
    "ReliabilityPanel",
    "ReliabilitySeries",
    "SubgroupPanel",
    "SubgroupRow",
    "bars",
    "differences",
    "embedding_map",
    "forest",
    "frontiers",
    "histogram",
    "patient_map",
    "precision_recall",
    "principal_plane",
    "readers",
    "reliability",
    "roc",
    "subgroups",
    "training_curve",
]
