"""The headings that reports use, and what hilum calls the section below each.

Spellings are matched without regard to case and to the width of spaces. A heading ends with a
colon, or stands on a line of its own.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

FINDINGS: Final = "FINDINGS"
IMPRESSION: Final = "IMPRESSION"
ADDENDUM: Final = "ADDENDUM"
WET_READ: Final = "WET READ"
FINAL_REPORT: Final = "FINAL REPORT"

HEADINGS: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType({
    FINAL_REPORT: ("final report", "report", "radiology report"),
    ADDENDUM: ("addendum", "addenda", "final addendum", "addendum begins", "addendum report"),
    WET_READ: (
        "wet read", "wet read report", "preliminary report", "preliminary read",
        "preliminary interpretation", "provisional findings impression",
        "provisional findings", "prelim",
    ),
    "EXAMINATION": (
        "examination", "exam", "exam type", "type of exam", "type of examination", "study",
        "procedure", "exam description", "exam title", "examination performed",
    ),
    "DATE": ("date", "date of exam", "date of examination", "exam date", "date of study"),
    "INDICATION": (
        "indication", "indications", "clinical indication", "clinical indications",
        "indication for study", "indication for exam", "reason for exam",
        "reason for examination", "reason for the exam", "reason for study",
        "reason for this examination", "reason", "clinical information", "clinical data",
        "clinical statement", "clinical question", "clinical details",
    ),
    "HISTORY": (
        "history", "clinical history", "patient history", "history of present illness",
        "past medical history", "medical condition", "relevant history",
    ),
    "TECHNIQUE": ("technique", "techniques", "views", "number of views", "technical factors"),
    "COMPARISON": (
        "comparison", "comparisons", "comparison study", "comparison studies",
        "comparison exam", "comparison date", "comparison film", "prior study",
        "prior studies", "previous study",
    ),
    FINDINGS: (
        "findings", "finding", "chest findings", "radiographic findings",
        "radiological findings", "report findings", "description", "interpretation",
        "observations",
    ),
    IMPRESSION: (
        "impression", "impressions", "impression and recommendation",
        "impression and recommendations", "findings and impression", "findings/impression",
        "impression/recommendation", "impression/recommendations", "overall impression",
        "final impression", "conclusion", "conclusions", "opinion", "summary",
        "diagnostic impression",
    ),
    "RECOMMENDATION": (
        "recommendation", "recommendations", "recommendation(s)", "recommend",
        "followup recommendation", "follow-up recommendation", "follow-up recommendations",
    ),
    "NOTIFICATION": (
        "notification", "notifications", "notification(s)", "communication", "communications",
        "critical result", "critical results", "critical findings",
    ),
    "SIGNATURE": (
        "signature", "dictated by", "electronically signed by", "signed by", "interpreted by",
        "read by", "attending", "attending radiologist", "radiologist", "reading radiologist",
    ),
})  # fmt: skip
"""Canonical name → spellings."""

TOLD: Final = frozenset({"", FINDINGS, IMPRESSION, ADDENDUM, WET_READ, FINAL_REPORT})
"""Sections that tell what is seen; the others tell what was asked, done, or should be done."""

BEFORE: Final = frozenset({
    "EXAMINATION", "DATE", "INDICATION", "HISTORY", "TECHNIQUE", "COMPARISON",
})  # fmt: skip
"""Sections that come before what is seen, and often run into it without a new heading."""
