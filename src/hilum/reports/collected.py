"""Labels for a collection, from the reports in it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, Protocol, get_args

from hilum.errors import CollectionError, UsageError
from hilum.findings import FINDINGS
from hilum.reports.labeller import label_report, labelled_names
from hilum.reports.sections import narrative

if TYPE_CHECKING:
    import polars as pl

    from hilum.tables import Table

ReportSection = Literal["findings", "impression", "both"]
"""Which text of a report is read."""

_COLUMNS: Final[dict[str, tuple[str, ...]]] = {
    "findings": ("report_findings",),
    "impression": ("report_impression",),
    "both": ("report_findings", "report_impression"),
}


class HasReports(Protocol):
    """Anything with a table of images and their reports; a `hilum.Collection`."""

    def table(self, columns: Sequence[str] | None = None) -> "pl.DataFrame":
        """Return columns of the table, one row per image."""


def report_labels(
    collection: HasReports,
    findings: Sequence[str] | None = None,
    section: ReportSection = "both",
) -> "Table":
    """Label the images of a collection by what their reports say.

    Parameters
    ----------
    collection
        A collection with reports in English.
    findings
        Which to label, in any spelling of `hilum.FINDINGS`; all if None.
    section
        ``"findings"``, ``"impression"`` or ``"both"``.

    Returns
    -------
    A label table: 1 present, 0 absent, -1 uncertain, NaN not mentioned; `extra` holds
    `patient_id`. Images without that text are left out. `Table.notes` says of which findings no
    report speaks.

    Raises
    ------
    CollectionError
        If no image has such a text.
    UsageError
        If there is no such section, or a finding is not in the vocabulary.
    """
    import numpy as np

    from hilum.tables import Table

    if section not in get_args(ReportSection):
        raise UsageError(
            f"{section!r} is not a section; choose from {', '.join(get_args(ReportSection))}"
        )
    names = tuple(FINDINGS) if findings is None else labelled_names(findings)
    columns = _COLUMNS[section]
    frame = collection.table(["image_id", "patient_id", *columns])
    texts = ["\n\n".join(filter(None, row)) for row in frame.select(columns).iter_rows()]
    rows = [row for row, text in enumerate(texts) if narrative(text)]
    if not rows:
        raise CollectionError(
            f"none of the {len(texts)} images has a text in {' or '.join(columns)}, so there is "
            "nothing to label from; ingest a source with reports, or read another section"
        )
    # a study's images share its report
    labels = {text: _as_row(text, names) for text in {texts[row] for row in rows}}
    values = np.array([labels[texts[row]] for row in rows])
    silent = np.isnan(values).all(axis=0)
    unsaid = (name for name, none in zip(names, silent, strict=True) if none)
    ids, patients = (frame[column].to_list() for column in ("image_id", "patient_id"))
    return Table(
        ids=tuple(ids[row] for row in rows),
        findings=names,
        values=values,
        extra={"patient_id": tuple(patients[row] for row in rows)},
        notes=dict.fromkeys(unsaid, "no report mentions it"),
    )


def _as_row(text: str, names: Sequence[str]) -> list[float]:
    found = label_report(text, names)
    return [found.get(name, float("nan")) for name in names]


@dataclass(frozen=True)
class LabelCounts:
    """How many images of a label table are what."""

    present: int
    absent: int
    uncertain: int
    not_mentioned: int


def count_labels(table: "Table") -> dict[str, LabelCounts]:
    """Count the labels of each finding."""
    found = {}
    for name in table.findings:
        labels = table.column(name)
        present, absent, uncertain = (int((labels == value).sum()) for value in (1, 0, -1))
        silent = len(labels) - present - absent - uncertain
        found[name] = LabelCounts(present, absent, uncertain, silent)
    return found
