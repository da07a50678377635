"""Scores turned into probabilities, finding by finding, by what a validation table taught."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np

from hilum.errors import TableError
from hilum.evaluate.calibrators import (
    Calibrator,
    Isotonic,
    Platt,
    Scale,
    Temperature,
    fit_known,
    scale_of,
)
from hilum.evaluate.tuning import Known, known_in
from hilum.findings import Policy
from hilum.tables import Table

_KINDS: Final[Mapping[str, type[Calibrator]]] = {
    "temperature": Temperature,
    "platt": Platt,
    "isotonic": Isotonic,
}


@dataclass(frozen=True)
class Fitted:
    """The calibrator of one finding, and what it was fitted to.

    Parameters
    ----------
    calibrator
        None where there is none.
    n, positives
        Validation images with a known label, and those of them that have the finding.
    reason
        Why there is no calibrator.
    """

    calibrator: Calibrator | None
    n: int = 0
    positives: int = 0
    reason: str | None = None


@dataclass(frozen=True)
class Calibration:
    """One calibrator per finding, and where they come from.

    Parameters
    ----------
    method
        A key of `CALIBRATORS`.
    findings
        By finding.
    scale
        What the scores were taken for: one answer for the table, because one model made it.
    source
        What they were fitted to.
    optimistic
        A remark where they were fitted to what is reported (`tuning.refuse_overlap`).
    """

    method: str
    findings: Mapping[str, Fitted]
    scale: Scale
    source: str
    optimistic: str | None = None

    def apply(self, scores: Table) -> Table:
        """Turn scores into probabilities; a finding without a calibrator is empty, with a note.

        Raises
        ------
        TableError
            If a score lies outside [0, 1] and those that were fitted did not.
        """
        values, notes = np.full(scores.values.shape, np.nan), dict(scores.notes)
        missing = Fitted(None, reason=f"there is none for it in {self.source}")
        for at, name in enumerate(scores.findings):
            fitted = self.findings.get(name, missing)
            if fitted.calibrator is None:
                notes[name] = f"not calibrated: {fitted.reason}"
                continue
            try:
                values[:, at] = fitted.calibrator.apply(scores.values[:, at])
            except ValueError as error:
                raise TableError(f"{name}: {error}") from error
        return replace(scores, values=values, notes=notes)

    def remarks(self) -> list[str]:
        """Say in a line each what a reader of the probabilities has to know."""
        out = [self.optimistic] if self.optimistic else []
        if self.scale == "log-odds" and self.method != "isotonic":
            out.append("Scores lie outside 0 to 1: before calibration they were taken as log-odds.")
        for name, fitted in self.findings.items():
            if fitted.reason:
                out.append(f"{name}: not calibrated, {fitted.reason}.")
            elif fitted.calibrator and fitted.calibrator.note:
                out.append(f"{name}: {fitted.calibrator.note}.")
        return out

    def to_json(self) -> dict[str, Any]:
        """Return plain numbers and texts, the content of a calibration file."""
        return asdict(self)

    @classmethod
    def from_json(cls, content: Any, where: str = "calibration") -> "Calibration":
        """Return what `to_json` was called on.

        Raises
        ------
        TableError
            If this is something else; the message starts with `where`.
        """
        try:
            method, kind = content["method"], _KINDS[content["method"]]
            findings = {
                name: _from_json(kind, entry) for name, entry in content["findings"].items()
            }
            scale, source = content["scale"], content["source"]
            return cls(method, findings, scale, source, content["optimistic"])
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise TableError(
                f"{where}: not a calibration as hilum writes it "
                f"({type(error).__name__}: {error}); fit it again"
            ) from error

    def save(self, path: str | Path) -> None:
        """Write a JSON file that travels with the model."""
        text = json.dumps(self.to_json(), indent=2, allow_nan=False)
        Path(path).write_text(text + "\n", encoding="utf-8")


def _from_json(kind: type[Calibrator], entry: Mapping[str, Any]) -> Fitted:
    fields = entry["calibrator"]
    if fields is not None:
        fields = {k: tuple(v) if isinstance(v, list) else v for k, v in fields.items()}
    calibrator = None if fields is None else kind(**fields)
    return Fitted(calibrator, entry["n"], entry["positives"], entry["reason"])


def load_calibration(path: str | Path) -> Calibration:
    """Read what `Calibration.save` wrote.

    Raises
    ------
    TableError
        If the file cannot be read or is something else.
    """
    path = Path(path)
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise TableError(f"{path}: not a calibration that can be read: {error}") from error
    return Calibration.from_json(content, str(path))


def fit_calibration(
    scores: Table,
    truth: Table,
    method: str,
    policy: Policy = "ignore",
    *,
    source: str = "the validation table",
) -> Calibration:
    """Fit a calibrator to every finding that two validation tables share.

    Nothing here knows which table will be reported: call `tuning.refuse_overlap` with both.

    Parameters
    ----------
    scores, truth
        Of the validation images; rows and columns in any order, joined by id and by name. If any
        score lies outside [0, 1], all are taken for log-odds.
    method
        ``"temperature"``, ``"platt"`` or ``"isotonic"`` (`CALIBRATORS`).
    policy
        What an uncertain label counts as: ``"ignore"``, ``"positive"`` or ``"negative"``.
    source
        What the two tables are called in the result.

    Raises
    ------
    TableError
        As in `hilum.evaluate`.
    UsageError
        If the method or the policy cannot be used.
    """
    scale = scale_of(scores.values)
    images = known_in(scores, truth, policy)
    findings = {name: _fit(method, of_finding, scale) for name, of_finding in images.items()}
    return Calibration(method, findings, scale, source)


def _fit(method: str, images: Known, scale: Scale) -> Fitted:
    try:
        return Fitted(fit_known(method, images, scale), images.n, images.positives)
    except ValueError as error:  # what the images do not support is a reason, not a fault
        return Fitted(None, images.n, images.positives, str(error))
