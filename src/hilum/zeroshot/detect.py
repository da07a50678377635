"""From a collection, encoders and findings to scores, with what they rest on."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

import numpy as np
from numpy.typing import NDArray

from hilum.collection.splits import SPLITS
from hilum.collection.sql import images
from hilum.errors import UsageError
from hilum.evaluate.recalibration import Calibration, fit_calibration
from hilum.evaluate.thresholds import Thresholds, choose_thresholds
from hilum.prompts.scores import Floats
from hilum.tables import Table
from hilum.zeroshot.plan import Plan, Settings
from hilum.zeroshot.questions import Mode, make_question
from hilum.zeroshot.scoring import Member, mean_scores
from hilum.zeroshot.validation import Choice, choose, first, validation_labels
from hilum.zeroshot.wordings import names_in

if TYPE_CHECKING:
    from hilum.collection import Collection
    from hilum.encoders import PairEncoder


@dataclass(frozen=True, eq=False)
class Detection:
    """Scores, with everything they rest on.

    Parameters
    ----------
    scores
        Ids × findings, the mean over the encoders; probabilities if calibrated.
    mode
        How it was asked.
    encoders
        Each as it was used.
    choices
        The wording of each finding, and its validation AUROC where labels were read.
    sentences
        The sentences of each finding, by side.
    thresholds, calibration
        What was fitted to the validation labels, if anything.
    """

    scores: Table
    mode: Mode
    encoders: tuple[Member, ...]
    choices: tuple[Choice, ...]
    sentences: Mapping[str, Mapping[str, tuple[str, ...]]]
    thresholds: Thresholds | None = None
    calibration: Calibration | None = None

    def remarks(self) -> list[str]:
        """Say in a line each what a reader of the scores has to know."""
        out = [f"{finding}: {text}" for finding, text in self.scores.notes.items()]
        for fitted in (self.calibration, self.thresholds):
            out += [line for line in fitted.remarks() if line not in out] if fitted else []
        return out

    def to_json(self) -> dict[str, Any]:
        """Return all but the scores as plain JSON types."""
        return {
            "images": len(self.scores),
            "findings": list(self.scores.findings),
            "mode": self.mode,
            "encoders": [asdict(member) for member in self.encoders],
            "prompts": {
                choice.finding: {
                    "name": choice.name,
                    **{side: list(texts) for side, texts in self.sentences[choice.finding].items()},
                    "auroc": choice.auroc,
                    "candidates": dict(choice.aurocs),
                    "n": choice.n,
                    "positives": choice.positives,
                }
                for choice in self.choices
            },
            "thresholds": self.thresholds.to_json() if self.thresholds else None,
            "calibration": self.calibration.to_json() if self.calibration else None,
            "remarks": self.remarks(),
        }


def zeroshot(
    collection: "Collection",
    encoder: "PairEncoder | str | Path | Sequence[PairEncoder | str | Path]",
    findings: Sequence[str] | None = None,
    **settings: Unpack[Settings],
) -> Table:
    """Score images for findings in words, without labels.

    Parameters
    ----------
    collection
        The images, with pixels or with the vectors of the same encoder.
    encoder
        A pair of encoders, what `load_encoder` takes, or several, whose scores are averaged;
        ``"RUN/best-*.safetensors"`` stands for all files of such names.
    findings
        What to look for; by default those in `prompts`, else the collection's label columns.
    settings
        `prompts`, `templates`, `mode`, `where`, `scale`, `choose_on`, `policy`, `calibrate`,
        `threshold`, `keep`, `batch_size`, `device`, `progress` (`hilum.zeroshot.Plan`).

    Returns
    -------
    A table for `hilum.evaluate`; scores above 0.5 are nearer to the finding than to its denial.
    `Table.notes` warns where a prompt seems to be the wrong way round.

    Raises
    ------
    UsageError
        If a setting, finding or prompt cannot be used.
    TableError
        If prompts or labels cannot be read, or are of other images.
    WeightsError
        If an encoder cannot be loaded, or reads images alone.
    CollectionError
        If images have neither pixels nor vectors, or `where` cannot be evaluated.
    """
    return detect(collection, encoder, findings, **settings).scores


def detect(
    collection: "Collection",
    encoder: "PairEncoder | str | Path | Sequence[PairEncoder | str | Path]",
    findings: Sequence[str] | None = None,
    **settings: Unpack[Settings],
) -> Detection:
    """Score images as `zeroshot` does; return the scores with what they rest on."""
    plan = Plan(**settings)
    encoders = _several(encoder)
    wanted = _wanted(findings, plan, collection)
    question = make_question(plan.mode, wanted, plan.prompts, plan.templates)
    asked = tuple(dict.fromkeys(column.finding for column in question.columns))
    if plan.choose_on is None:
        labels, choices = None, first(question.columns)
    else:
        labels = validation_labels(collection, plan.choose_on, asked)
    view, reported = _views(collection, plan, labels)
    ids, scores, members = mean_scores(view, encoders, question, plan)
    if labels is not None:
        labelled = scores[_places(labels.ids, ids)]
        choices = choose(question.columns, labelled, labels, plan.policy)
    used = [choice.column for choice in choices]
    table = Table(ids, asked, scores[:, used], notes=_notes(choices, scores))
    found = Detection(
        scores=table if reported is None else table.take(_places(reported, ids)),
        mode=plan.mode,
        encoders=members,
        choices=choices,
        sentences={choice.finding: question.sentences[choice.column] for choice in choices},
    )
    return found if labels is None else _fitted(found, table, labels, plan)


# --------------------------------------------------------------------------- what is asked of what


def _several(
    encoder: "PairEncoder | str | Path | Sequence[PairEncoder | str | Path]",
) -> "list[PairEncoder | str | Path]":
    if isinstance(encoder, str | Path) or not isinstance(encoder, Sequence):
        encoder = [encoder]
    out: list[PairEncoder | str | Path] = []
    for one in encoder:
        pattern = isinstance(one, str | Path) and "*" in str(one)
        out += _files(Path(str(one))) if pattern else [one]
    if not out:
        raise UsageError("no encoder was given")
    return out


def _files(pattern: Path) -> list[Path]:
    """Return the files that a pattern stands for: the best weights of a run, say."""
    if not (found := sorted(pattern.parent.glob(pattern.name))):
        raise UsageError(f"no file is named {str(pattern)!r}")
    return found


def _wanted(findings: Sequence[str] | None, plan: Plan, collection: "Collection") -> Sequence[str]:
    if isinstance(findings, str):
        raise UsageError("expected a sequence of findings, got one text; put it in a list")
    if findings is not None:
        return findings
    return collection.findings if plan.prompts is None else names_in(plan.prompts)


def _views(
    collection: "Collection", plan: Plan, labels: Table | None
) -> tuple["Collection", tuple[str, ...] | None]:
    """Return the images to score, and which of them to report (None: all).

    Images that labels are read of are scored too, so that something can be chosen by them.
    """
    if not len(collection):
        raise UsageError("the collection has no images")
    if plan.where is None:
        return collection, None
    view = collection.where(plan.where)
    if not len(view):
        raise UsageError(f"no image of the collection fulfils {plan.where!r}")
    if labels is None:
        return view, None
    either = f"({plan.where}) OR {_labelled(plan.choose_on, labels)}"
    return collection.where(either), view.ids()


def _labelled(choose_on: str | Path | Table | None, labels: Table) -> str:
    if isinstance(choose_on, str) and choose_on in SPLITS:
        return f"split = '{choose_on}'"
    return images(labels.ids)


def _places(wanted: Sequence[str], ids: Sequence[str]) -> NDArray[np.int64]:
    place = {image: row for row, image in enumerate(ids)}
    return np.array([place[image] for image in wanted], dtype=np.int64)


# --------------------------------------------------------------------------- what is said of it


def _notes(choices: Sequence[Choice], scores: Floats) -> dict[str, str]:
    notes = {}
    for choice in choices:
        lost = int((scores[:, choice.column] >= 1).sum())
        said = [choice.remark()]
        if lost > 1:
            said.append(
                f"{lost} images score 1 to the last digit and have no order among them: give a "
                "smaller scale"
            )
        if text := "; ".join(line for line in said if line):
            notes[choice.finding] = text
    return notes


def _fitted(found: Detection, table: Table, labels: Table, plan: Plan) -> Detection:
    """Calibrate the scores and choose thresholds, as far as it was asked for."""
    source = "the validation table"
    if isinstance(plan.choose_on, str):
        source = f"the split {plan.choose_on}" if plan.choose_on in SPLITS else plan.choose_on
    validation = table.take(_places(labels.ids, table.ids))
    if plan.calibrate is not None:
        calibration = fit_calibration(
            validation, labels, plan.calibrate, plan.policy, source=source
        )
        found = replace(found, scores=calibration.apply(found.scores), calibration=calibration)
        validation = calibration.apply(validation)
    if plan.threshold is not None:
        thresholds = choose_thresholds(
            validation, labels, plan.threshold, plan.policy, source=source
        )
        found = replace(found, thresholds=thresholds)
    return found
