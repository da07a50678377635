"""One number for all that a view holds, so that what was computed from it is not taken for new."""

import hashlib
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from hilum.collection.view import Collection

_COLUMNS: Final = (
    "image_id", "patient_id", "study_id", "visit", "view", "age", "sex", "split", "sha256",
    "report_findings", "report_impression",
)  # fmt: skip
_ROWS: Final = 10_000  # as text at once


def content_digest(view: "Collection", findings: Sequence[str] | None = None) -> str:
    """Return the SHA-256 (64 hex digits) of what can be learnt from a view.

    Parameters
    ----------
    view
        Its rows, in order: ids, patients, visits, demographics, splits, reports, the digests of
        the images' files, and how the images were made from them. Embeddings are not counted:
        their fingerprints say what they are.
    findings
        Whose labels count; those of all findings if None.
    """
    settings = view.settings
    made = [settings.size, settings.resize, settings.channels]
    total = hashlib.sha256(json.dumps(made).encode())
    columns = [name for name in _COLUMNS if name in view.columns]
    for part in view.table(columns).iter_slices(_ROWS):
        total.update(part.write_ndjson().encode())
    labels = view.labels(findings=findings)
    total.update("\n".join(labels.findings).encode())
    total.update(np.ascontiguousarray(labels.values).tobytes())
    return total.hexdigest()
