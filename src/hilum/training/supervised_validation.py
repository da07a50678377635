"""What a classifier is worth: while it learns, one number; at the end, metrics with intervals."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray

from hilum.encoders.classifier import Classifier
from hilum.errors import UsageError
from hilum.evaluate import auroc, evaluate
from hilum.tables import Table
from hilum.training.feed import Feed, Resident
from hilum.training.losses import Loss
from hilum.training.supervised_data import Lesson, Numbers

AT_ONCE: Final = 256  # images scored together

See = Callable[[torch.Tensor, torch.Tensor | None], torch.Tensor]


@dataclass(frozen=True, eq=False)
class Judge:
    """The validation images.

    Parameters
    ----------
    lesson
        Their labels and features.
    feed
        Their pixels.
    vectors
        What a frozen backbone makes of them, once it was computed.
    """

    lesson: Lesson
    feed: Feed
    vectors: Numbers | None = None

    def holding(self, classifier: Classifier) -> "Judge":
        """Return the same with the vectors of a backbone that stays as it is."""
        return replace(self, vectors=score_feed(classifier.encode, self.feed, None))

    def auroc(self, classifier: Classifier) -> float:
        """Return the mean AUROC over the findings that have one, from one look."""
        logits, truth = self._logits(classifier), self.lesson.truth.values
        found = [
            auroc(logits[known, at], truth[known, at] == 1)
            for at in judged_findings(truth)
            for known in [~np.isnan(truth[:, at])]
        ]
        return float(np.mean(found))

    def loss(self, classifier: Classifier, loss: Loss) -> float:
        """Return the loss of all images together."""
        logits = torch.from_numpy(self._logits(classifier))
        device = loss.frequency.device
        targets = torch.from_numpy(self.lesson.targets)
        with torch.no_grad():
            return float(loss(logits.to(device), targets.to(device)))

    def metrics(self, classifier: Classifier, seed: int = 0) -> dict[str, Any]:
        """Return metrics with intervals by patient: of all, of first visits, of follow-ups.

        None stands where nothing can be measured; ``notes`` says of what and why.
        """
        scores = self._scores(classifier)
        first = self.lesson.first
        parts = {
            "validation": np.ones(len(first), np.bool_),
            "first_visits": first,
            "follow_ups": ~first,
        }
        truth = self.lesson.truth
        notes: dict[str, str] = {}
        measured: dict[str, Any] = {}
        for name, rows in parts.items():
            own = truth.take(rows)
            known = [truth.findings[at] for at in judged_findings(own.values)]
            measured[name] = None
            if known:
                table = Table(own.ids, truth.findings, scores[rows]).select(known)
                measured[name] = evaluate(table, own.select(known), seed=seed).to_json()
            for finding in truth.findings:
                if finding not in known:
                    notes[f"{name}: {finding}"] = why_not(own, finding)
        return {"split": "val", **measured, "notes": notes}

    def _logits(self, classifier: Classifier) -> Numbers:
        features = self._features(classifier)
        if self.vectors is None:
            return score_feed(classifier.see, self.feed, features)
        held = Resident(torch.from_numpy(self.vectors).to(classifier.engine.device))
        return score_feed(classifier.decide, held, features)

    def _scores(self, classifier: Classifier) -> NDArray[np.float64]:
        return score_feed(
            classifier.look, self.feed, self._features(classifier)
        ).astype(np.float64)  # fmt: skip

    def _features(self, classifier: Classifier) -> Numbers | None:
        return self.lesson.features if classifier.spec.groups else None


def score_feed(see: See, feed: Feed, features: Numbers | None) -> Numbers:
    """Return what a classifier says of every image of a feed, (images, findings)."""
    found = []
    with torch.inference_mode():
        for start in range(0, len(feed), AT_ONCE):
            rows = np.arange(start, min(start + AT_ONCE, len(feed)))
            told = None if features is None else torch.from_numpy(features[rows])
            found.append(see(feed(rows), told).float().cpu())
    return torch.cat(found).numpy()


def judged_findings(truth: NDArray[np.float64]) -> list[int]:
    """Return the columns with a positive and a negative label."""
    both = (truth == 1).any(axis=0) & (truth == 0).any(axis=0)
    return np.flatnonzero(both).tolist()


def refuse_unjudgeable(held_out: Lesson) -> None:
    """Raise UsageError if no finding tells validation images apart."""
    truth = held_out.truth
    if not judged_findings(truth.values):
        raise UsageError(
            f"none of {len(truth.findings)} findings is present in some of the {len(truth)} "
            "validation images and absent in others, so there is no AUROC; validate by loss or none"
        )


def why_not(truth: Table, finding: str) -> str:
    """Say why a finding cannot be measured."""
    if not len(truth):
        return "there are no such images"
    column = truth.column(finding)
    known = column[~np.isnan(column)]
    if not len(known):
        return "no label is known"
    return "no image has it" if not (known == 1).any() else "every image has it"
