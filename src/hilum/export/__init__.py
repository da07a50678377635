"""A collection as other programs' files, and those files as a collection.

===============  =====================================================================
`table`          one CSV: ids, metadata, labels, reports
`chexzero`       HDF5 of images + CSV of paths + CSV of impressions
`medselect`      for each split, CSV + HDF5 of embeddings, positives and no-finding apart
===============  =====================================================================
"""

from collections.abc import Callable
from pathlib import Path
from typing import Final

from hilum.collection import Collection
from hilum.errors import UsageError
from hilum.export.chexzero import export_chexzero, import_chexzero
from hilum.export.medselect import export_medselect, import_medselect
from hilum.export.table import export_table
from hilum.findings import POLICIES, Policy
from hilum.ingest import IngestReport

__all__ = [
    "FORMATS",
    "IMPORTS",
    "export",
    "export_chexzero",
    "export_medselect",
    "export_table",
    "import_chexzero",
    "import_medselect",
]

FORMATS: Final = ("csv", "chexzero", "medselect")

IMPORTS: Final[dict[str, Callable[..., IngestReport]]] = {
    "chexzero": import_chexzero,
    "medselect": import_medselect,
}


def export(
    collection: Collection,
    out: str | Path,
    to: str,
    *,
    embedding: str | None = None,
    policy: str = "positive",
) -> Path:
    """Write a view in one of `FORMATS`; `embedding` and `policy` are for ``"medselect"``.

    Raises
    ------
    UsageError
        If there is no such format or policy, or MedSelect's files are asked for without saying
        which embedding goes into them.
    CollectionError
        If the view lacks what the format holds.
    """
    if to == "csv":
        return export_table(collection, out)
    if to == "chexzero":
        return export_chexzero(collection, out)
    if to != "medselect":
        raise UsageError(f"{to!r} is not a format; choose from {', '.join(FORMATS)}")
    if embedding is None:
        known = ", ".join(collection.embeddings) or "none yet"
        raise UsageError(f"medselect's files hold an embedding; name it (there is {known})")
    return export_medselect(collection, out, embedding, _as_policy(policy))


def _as_policy(text: str) -> Policy:
    for known in POLICIES:
        if text == known:
            return known
    raise UsageError(f"{text!r} is not a label policy; choose from {', '.join(POLICIES)}")
