"""How a question is put to a collection: the settings, checked."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

import numpy as np

from hilum.errors import UsageError
from hilum.evaluate.calibrators import CALIBRATORS
from hilum.evaluate.rules import parse_rule
from hilum.findings import Policy
from hilum.progress import Progress, silent
from hilum.prompts import Template
from hilum.tables import Table
from hilum.zeroshot.questions import Mode
from hilum.zeroshot.wordings import Given

if TYPE_CHECKING:
    from hilum.encoders import PairEncoder


class Settings(TypedDict, total=False):
    """How `zeroshot` and `detect` work; see `Plan`."""

    prompts: Given | None
    templates: Sequence[Template] | Sequence[str] | None
    mode: Mode
    where: str | None
    scale: float | None
    choose_on: str | Path | Table | None
    policy: Policy
    calibrate: str | None
    threshold: str | None
    keep: bool
    batch_size: int
    device: str
    progress: Progress


@dataclass(frozen=True)
class Plan:
    """The settings of a reading.

    Parameters
    ----------
    prompts
        Wordings of one's own: words, pairs of sentences or several candidates by finding, or a
        JSON or CSV file of them (`docs/formats.md`).
    templates
        Pairs such as ``("there is {}", "there is no {}")``; for classes, single sentences.
    mode
        ``"hilum"``; ``"chexzero"``, its two templates and plain cosines; ``"classes"``, names
        that exclude each other, as CheXzero reads sexes and views.
    where
        SQL: score only images that fulfil it.
    scale
        Multiplies the cosines; by default what each encoder learnt, and 1 for ``"chexzero"``.
    choose_on
        Which labels say which of several candidates is best, and what is fitted: ``"val"``,
        ``"train"``, or a table of labels. None reads no label.
    policy
        What an uncertain label counts as: ``"ignore"``, ``"positive"`` or ``"negative"``.
    calibrate
        ``"temperature"``, ``"platt"`` or ``"isotonic"``, fitted to `choose_on`.
    threshold
        A rule such as ``"mcc"``, applied to `choose_on` after calibration; `detect` returns what
        it gives, the scores are the same.
    keep
        Keep the vectors of images that had to be encoded in the collection, as an embedding, so
        that the next prompts need no pixels.
    batch_size
        Images at a time.
    device
        ``auto``, ``cpu`` or ``cuda``, for encoders that are loaded here.
    progress
        Told of the images that have to be encoded.
    """

    prompts: Given | None = None
    templates: Sequence[Template] | Sequence[str] | None = None
    mode: Mode = "hilum"
    where: str | None = None
    scale: float | None = None
    choose_on: str | Path | Table | None = None
    policy: Policy = "ignore"
    calibrate: str | None = None
    threshold: str | None = None
    keep: bool = True
    batch_size: int = 64
    device: str = "auto"
    progress: Progress = silent

    def __post_init__(self) -> None:
        if self.policy == "keep":
            raise UsageError(
                "choose what an uncertain label counts as: ignore, positive or negative"
            )
        if self.scale is not None and not 0 < self.scale < np.inf:
            raise UsageError(f"a scale is above 0 and finite; got {self.scale}")
        if self.scale is not None and self.mode == "classes":
            raise UsageError("classes are scored by how far they stand out: there is no scale")
        if self.batch_size < 1:
            raise UsageError(f"the batch size must be at least 1; got {self.batch_size}")
        self._check_fitting()

    def _check_fitting(self) -> None:
        for name in ("calibrate", "threshold"):
            if getattr(self, name) is not None and self.choose_on is None:
                raise UsageError(
                    f'{name} needs validation labels; say which: choose_on="val" (--choose-on val)'
                )
        if self.calibrate is not None and self.calibrate not in CALIBRATORS:
            raise UsageError(
                f"{self.calibrate!r} is not a calibration; choose from {', '.join(CALIBRATORS)}"
            )
        if self.threshold is not None:
            parse_rule(self.threshold)

    def scale_of(self, pair: "PairEncoder") -> float | None:
        """Return what an encoder's cosines are multiplied by; None where there is no scale."""
        if self.mode == "classes":
            return None
        if self.scale is not None:
            return self.scale
        return pair.scale if self.mode == "hilum" else 1.0
