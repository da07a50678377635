"""What a validation table gives to tune on, and the guard that it is not the one reported.

A threshold or a calibration that is fitted to the images it is reported on looks better than it
is, by more the fewer the positives. So both are fitted here, on tables of their own, and a patient
on both sides is an error unless it is asked for; then the result carries a remark.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from hilum.errors import TableError, UsageError
from hilum.evaluate.plan import PATIENT
from hilum.evaluate.ranking import Floats
from hilum.evaluate.sample import known_labels, without_score
from hilum.findings import Policy
from hilum.tables import Table, align


@dataclass(frozen=True, eq=False)
class Known:
    """One finding's images whose label is known, as far as anything can be fitted to them.

    Parameters
    ----------
    scores, labels : (n,)
        Finite scores; labels 1 or 0.
    reason
        Why nothing can be fitted (one class, no scores), or None.
    """

    scores: Floats
    labels: Floats
    reason: str | None = None

    @property
    def n(self) -> int:
        """How many images there are."""
        return self.labels.size

    @property
    def positives(self) -> int:
        """How many of them have the finding."""
        return int(self.labels.sum())


def known(scores: Floats, truth: Floats, note: str | None = None) -> Known:
    """Keep the images of one finding whose label is known, and say if nothing can be fitted.

    Parameters
    ----------
    scores, truth : (n_images,)
        Any finite numbers; 1, 0, or NaN where unknown. Scores may be NaN where the truth is, or
        everywhere.
    note
        Why the scores are empty, if they are.

    Raises
    ------
    ValueError
        If the arrays differ in length, truth is neither 1, 0 nor NaN, or a score is not finite
        where the truth is known.
    """
    scores, truth = np.asarray(scores, dtype=np.float64), np.asarray(truth, dtype=np.float64)
    if scores.ndim != 1 or scores.shape != truth.shape:
        raise ValueError(
            "scores and truth must be one-dimensional and of one length; "
            f"got shapes {scores.shape} and {truth.shape}"
        )
    kept = ~np.isnan(truth)
    score, label = scores[kept], truth[kept]
    if not np.isin(label, (0, 1)).all():
        raise ValueError("truth must be 1, 0 or NaN: decide about uncertain labels first")
    if not label.size:
        return Known(score, label, "no image has a known label")
    for value, word in ((1, "positive"), (0, "negative")):
        if not (label == value).any():
            return Known(score, label, f"none of the {label.size} known labels is {word}")
    if np.isnan(score).all():
        return Known(score, label, f"no scores: {note or 'the column is empty'}")
    if not np.isfinite(score).all():
        raise ValueError("a score is NaN or infinite where the truth is known")
    return Known(score, label)


def known_in(scores: Table, truth: Table, policy: Policy) -> dict[str, Known]:
    """Join two validation tables; return what each finding in both gives to fit to.

    Parameters
    ----------
    scores, truth
        As in `hilum.evaluate`: rows and columns in any order, joined by id and by name.
    policy
        What an uncertain label counts as: ``"ignore"``, ``"positive"`` or ``"negative"``.

    Raises
    ------
    TableError
        If an id of the truth has no score, a score is missing for a known label, the truth
        holds anything but labels, or no finding is shared.
    UsageError
        If uncertain labels are to be kept.
    """
    if policy == "keep":
        raise UsageError(
            "nothing can be fitted to an uncertain label: choose the policy ignore, positive or "
            "negative"
        )
    joined = align(scores, truth)
    labels = known_labels(joined.truth, policy).astype(np.float64)
    out = {}
    for at, name in enumerate(joined.truth.findings):
        try:
            note = joined.scores.notes.get(name)
            out[name] = known(joined.scores.values[:, at], labels[:, at], note)
        except ValueError as error:
            labelled = ~np.isnan(labels[:, at])
            raise TableError(without_score(joined.scores, name, labelled)) from error
    return out


def refuse_overlap(
    validation: Table, reported: Table, *, tune_on_reported: bool = False
) -> str | None:
    """Make sure that nothing is tuned on what it is reported on.

    Parameters
    ----------
    validation, reported
        The truth that is tuned on and the truth that is reported. Patients are compared where
        both carry ``patient_id``; rows without one are compared by id alone.
    tune_on_reported
        Let it pass, and say so.

    Returns
    -------
    None where the tables are apart, else a remark for whoever reads the result.

    Raises
    ------
    UsageError
        If an image or a patient is on both sides and that was not asked for. The first image is
        named; patients are only counted, because a patient's number identifies a person.
    """
    ids = set(reported.ids)
    images = [image for image in validation.ids if image in ids]
    patients = _patients(validation.extra) & _patients(reported.extra)
    if not images and not patients:
        return None
    shared = []
    if images:
        shared.append(f"{len(images)} of the {len(validation)} validation images")
    if patients:
        shared.append(f"{len(patients)} {'patient' if len(patients) == 1 else 'patients'}")
    what = " and ".join(shared)
    if tune_on_reported:
        return f"Tuned on what is reported ({what} on both sides): the figures are optimistic."
    first = f"; the first image is {images[0]!r}" if images else ""
    raise UsageError(
        "what is tuned on the images it is reported on looks better than it is. On both sides: "
        f"{what}{first}. Leave them out of one of the two tables, or allow it with "
        "tune_on_reported=True (--tune-on-reported), which marks the result as optimistic"
    )


def _patients(extra: Mapping[str, tuple[str | None, ...]]) -> set[str]:
    return {patient for patient in extra.get(PATIENT, ()) if patient}
