"""The vocabulary: what a finding is called, here and in each data set, and what its labels mean.

A label is one of four values: 1 present, 0 absent, -1 uncertain, and unknown (null in a
collection, an empty cell in a table, NaN in an array). Uncertain and unknown are different: the
first is a reader's doubt, the second is silence, and no code in hilum turns one into the other
unless a policy says so.
"""

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, get_args

from hilum.errors import UsageError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike, NDArray

UNCERTAIN: Final = -1

Policy = Literal["keep", "positive", "negative", "ignore"]
"""What an uncertain label (-1) becomes: itself, 1, 0 or unknown."""

POLICIES: Final[tuple[Policy, ...]] = get_args(Policy)


@dataclass(frozen=True)
class Finding:
    """One thing a radiologist may report.

    Parameters
    ----------
    name
        The name used in collections, tables and plots.
    present, absent
        The pair of sentences that zero-shot reading compares. "No Finding" has a pair of its
        own: with the plain template its negative would read "no no finding" and its AUROC
        comes out inverted (0.07 in CheXzero's published table).
    spellings
        Other names in public data sets, without regard to case, spaces, ``_``, ``-`` and ``/``.
    article
        What stands before `present` in a sentence: "there is a nodule", but "there is edema".
    """

    name: str
    present: str
    absent: str
    spellings: tuple[str, ...] = ()
    article: str = ""


def _plain(name: str, *spellings: str, article: str = "") -> Finding:
    return Finding(name, name.lower(), f"no {name.lower()}", spellings, article)


FINDINGS: Final[dict[str, Finding]] = {
    finding.name: finding
    for finding in (
        _plain("Atelectasis", "Pulmonary Atelectasis"),
        _plain("Cardiomegaly"),
        _plain("Consolidation"),
        _plain("Edema", "Oedema", "Pulmonary Edema"),
        _plain("Emphysema", "Pulmonary Emphysema"),
        _plain("Enlarged Cardiomediastinum", "Enlarged Cardiom.", article="an"),
        _plain("Fibrosis", "Pulmonary Fibrosis"),
        _plain("Fracture", article="a"),
        _plain("Hernia", "Hiatal Hernia", article="a"),
        _plain("Infiltration", "Infiltrate"),  # the box table of ChestX-ray14 says Infiltrate
        _plain("Lung Lesion", article="a"),
        _plain("Lung Opacity", "Airspace opacity", article="a"),
        _plain("Mass", article="a"),
        Finding("No Finding", "no acute cardiopulmonary abnormality", "acute abnormality",
                ("Normal", "No Findings")),
        _plain("Nodule", article="a"),
        _plain("Nodule or Mass", "Nodule/Mass", article="a"),
        _plain("Pleural Effusion", "Effusion"),
        _plain("Pleural Other"),
        _plain("Pleural Thickening"),
        _plain("Pneumonia"),
        _plain("Pneumothorax", article="a"),
        Finding("COVID-19", "COVID-19 pneumonia", "no COVID-19 pneumonia", ("COVID", "COVID19")),
        Finding("Support Devices", "tubes, lines or devices are in place",
                "no tubes, lines or devices", ("Support Device",)),
    )
}  # fmt: skip
"""What is asked of a chest radiograph, and what reports are labelled for."""

BESIDE: Final[dict[str, Finding]] = {
    finding.name: finding
    for finding in (
        # Of chest radiographs, as VinDr-CXR names them. No rule of hilum's finds them in a report.
        _plain("Aortic Enlargement", article="an"),
        _plain("Calcification", article="a"),
        _plain("Clavicle Fracture", article="a"),
        Finding("COPD", "chronic obstructive pulmonary disease",
                "no chronic obstructive pulmonary disease"),
        _plain("Enlarged Pulmonary Artery", "Enlarged PA", article="an"),
        _plain("Interstitial Lung Disease", "ILD"),
        _plain("Lung Cavity", article="a"),
        _plain("Lung Cyst", article="a"),
        _plain("Lung Tumor", "Lung Tumour", article="a"),
        _plain("Mediastinal Shift", article="a"),
        _plain("Rib Fracture", article="a"),
        _plain("Tuberculosis"),
        _plain("Other Lesion"),
        _plain("Other Disease", "Other Diseases"),
        # Of dermoscopy.
        _plain("Melanoma", article="a"),
        _plain("Nevus", "Naevus", "Nevi", "Melanocytic Nevus", article="a"),
        _plain("Seborrheic Keratosis", "Seborrhoeic Keratosis", article="a"),
    )
}  # fmt: skip
"""What else data sets label: known by name, and never looked for in a report."""

VOCABULARY: Final = FINDINGS | BESIDE
"""Every finding that hilum has a name and words for."""


def _key(name: str) -> str:
    return re.sub(r"[\s_/\-]+", "", name).casefold()


_BY_SPELLING: Final[dict[str, str]] = {
    _key(spelling): finding.name
    for finding in VOCABULARY.values()
    for spelling in (finding.name, *finding.spellings)
}


def canonical(name: str) -> str | None:
    """Return hilum's name for a finding in any known spelling, or None if it is not one.

    >>> canonical("Pleural_Thickening"), canonical("effusion"), canonical("Follow-up #")
    ('Pleural Thickening', 'Pleural Effusion', None)
    """
    return _BY_SPELLING.get(_key(name))


def apply_policy(labels: "ArrayLike", policy: Policy) -> "NDArray[np.float32]":
    """Decide what uncertain labels count as.

    Parameters
    ----------
    labels
        Any shape; 1, 0, -1 and NaN (unknown).
    policy
        ``"keep"`` leaves -1, ``"positive"`` makes it 1, ``"negative"`` 0, and ``"ignore"``
        unknown (U-Ones, U-Zeros and U-Ignore of Irvin et al., AAAI 2019, arXiv:1901.07031).
        Unknown labels stay unknown under every policy.

    Returns
    -------
    A new float32 array of the same shape.

    Raises
    ------
    UsageError
        If there is no such policy.
    """
    import numpy as np

    becomes = {"keep": -1.0, "positive": 1.0, "negative": 0.0, "ignore": np.nan}
    if policy not in becomes:
        raise UsageError(f"{policy!r} is not a label policy; choose from {', '.join(POLICIES)}")
    out = np.array(labels, dtype=np.float32)
    out[out == UNCERTAIN] = becomes[policy]
    return out
