"""Radiology reports: their sections, their sentences, and the findings they state."""

from hilum.reports.chexzero import chexzero_impression
from hilum.reports.collected import LabelCounts, ReportSection, count_labels, report_labels
from hilum.reports.labeller import label_report
from hilum.reports.sections import Passage, Section, Sections, impression, narrative, sections
from hilum.reports.sentences import sentences

__all__ = [
    "LabelCounts",
    "Passage",
    "ReportSection",
    "Section",
    "Sections",
    "chexzero_impression",
    "count_labels",
    "impression",
    "label_report",
    "narrative",
    "report_labels",
    "sections",
    "sentences",
]
