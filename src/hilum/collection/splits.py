"""Which patients are for training, which for choosing, and which for the last word.

A split is a property of the patient, never of the image. It is drawn by a keyed hash of the
patient's id, so it depends on nothing else: not on the order of the files, not on which other
patients there are. A collection can grow and nobody moves. The price is that the fractions are
met approximately, as by independent draws: for n patients the standard deviation of a share p
is sqrt(p (1 - p) / n), which is 0.2 % for 30,805 patients.
"""

import hashlib
import math
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

import polars as pl

from hilum.errors import LeakError, UsageError

SPLITS: Final = ("train", "val", "test")
DEFAULT_FRACTIONS: Final = (0.8, 0.1, 0.1)
_GIVEN: Final = frozenset({*SPLITS, "trainval"})


class Fractions(NamedTuple):
    """The shares of patients for training, validation and test; they sum to 1."""

    train: float
    val: float
    test: float


def check_fractions(values: Sequence[float]) -> Fractions:
    """Return three shares, or say why they are none.

    Raises
    ------
    UsageError
        Unless there are three finite shares, none negative, the first above 0, with sum 1.
    """
    good = (
        len(values) == 3
        and all(math.isfinite(share) and share >= 0 for share in values)
        and math.isclose(sum(values), 1.0, abs_tol=1e-6)
        and values[0] > 0
    )
    if not good:
        raise UsageError(
            "the fractions of train, val and test must be three numbers from 0 to 1 with sum 1 "
            f"and some train, such as 0.8,0.1,0.1; got {','.join(f'{v:g}' for v in values)}"
        )
    return Fractions(*values)


def place(patient: str, seed: int) -> float:
    """Return a patient's place in [0, 1): uniform over patients, fixed for a seed."""
    digest = hashlib.blake2b(patient.encode(), key=f"hilum split {seed}".encode(), digest_size=8)
    return int.from_bytes(digest.digest(), "big") / 2**64


def assign(
    patients: Sequence[str],
    given: Sequence[str | None],
    *,
    seed: int = 0,
    fractions: Fractions = Fractions(*DEFAULT_FRACTIONS),  # noqa: B008 (immutable)
) -> list[str]:
    """Give every image a split, keeping what its source says.

    Parameters
    ----------
    patients : (n_images,)
        The patient of each image.
    given : (n_images,)
        What the source says: ``"train"``, ``"val"``, ``"test"``, ``"trainval"`` ("not test":
        drawn between train and val in the proportion of their fractions) or None (drawn among
        all three). A patient with a split keeps it for images that have none.
    seed
        Another seed is another draw.
    fractions
        The shares to draw with.

    Returns
    -------
    (n_images,)
        ``"train"``, ``"val"`` or ``"test"``.

    Raises
    ------
    LeakError
        If the source itself puts one patient on two sides.
    """
    check_leaks(patients, given)
    said = {patient: split for patient, split in zip(patients, given, strict=True) if split}
    assert set(said.values()) <= {*_GIVEN}, set(said.values())
    drawn = {
        patient: _draw(said.get(patient), place(patient, seed), fractions)
        for patient in dict.fromkeys(patients)
    }
    return [drawn[patient] for patient in patients]


def _draw(given: str | None, where: float, fractions: Fractions) -> str:
    if given in SPLITS:
        return given
    train, val, test = fractions
    if given == "trainval":
        train, val, test = train / (train + val), val / (train + val), 0.0
    if where < train:
        return "train"
    return "val" if where < train + val or test == 0 else "test"


def check_leaks(patients: Iterable[str], splits: Iterable[str | None]) -> None:
    """Make sure that no patient is on two sides of a split.

    Raises
    ------
    LeakError
        With the number of such patients and up to three examples.
    """
    columns = {"patient": pl.Series(patients), "split": pl.Series(splits, dtype=pl.String)}
    sides = pl.DataFrame(columns).drop_nulls("split").unique(maintain_order=True)
    leaking = sides.filter(pl.col("patient").is_duplicated()).group_by(
        "patient", maintain_order=True
    )
    several = leaking.agg(pl.col("split").sort())
    if several.height:
        examples = "; ".join(f"{p} in {' and '.join(s)}" for p, s in several.head(3).iter_rows())
        raise LeakError(
            f"{several.height} of {sides['patient'].n_unique()} patients are in more than one "
            f"split ({examples}): a score on such a test set is too good; correct the source's "
            "split, or leave the split out so that it is drawn by patient"
        )
