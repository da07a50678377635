"""Images that are told something: rows of a collection with their reports, joined by id."""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from hilum.encoders import tokenise
from hilum.encoders.text import lengths
from hilum.errors import LeakError, UsageError
from hilum.reports.words import words
from hilum.training.texts import Texts, TextSettings

if TYPE_CHECKING:
    from hilum.collection import Collection

Rows = NDArray[np.int64]
FINDINGS, IMPRESSION = "report_findings", "report_impression"
LONGEST = 4096  # tokens of a report; what comes after is never read
AT_ONCE = 1000  # reports made tokens together


@dataclass(frozen=True, eq=False)
class Told:
    """Images of a collection with something to learn from in their reports.

    Parameters
    ----------
    rows : (images,)
        Their rows in the collection.
    patients : (images,)
        Whose they are.
    texts
        Their reports.
    left_out
        How many images of the collection have no report, or none of which anything is used.
    digest
        sha256 (hex) of the images' ids and files and of every word.
    """

    rows: Rows
    patients: tuple[str, ...]
    texts: Texts
    left_out: int
    digest: str

    def __len__(self) -> int:
        return len(self.rows)


def told(
    collection: "Collection", settings: TextSettings, reports: Mapping[str, str] | None = None
) -> Told:
    """Find the images of a collection that have a report.

    Parameters
    ----------
    collection
        The images.
    settings
        Which parts of the reports are used.
    reports
        Texts by image id, in place of the collection's own; they count as impressions.

    Raises
    ------
    UsageError
        If there are no images, none has a report of which anything is used, no id of `reports`
        is in the collection, or all reports have the same words.
    """
    table = collection.table(["image_id", "patient_id", "sha256", FINDINGS, IMPRESSION])
    images = table["image_id"].to_list()
    if not images:
        raise UsageError(
            "there are no images to learn from; check the condition that chose them "
            "(hilum show lists the splits)"
        )
    findings, impressions = table[FINDINGS].to_list(), table[IMPRESSION].to_list()
    if reports is not None:
        _check_ids(images, reports)
        findings, impressions = [None] * len(images), [reports.get(image) for image in images]
    every = Texts(findings, impressions, settings)
    rows = np.flatnonzero(every.usable)
    if not len(rows):
        raise UsageError(_nothing_said(every, len(images)))
    texts = every
    if len(rows) < len(images):
        some, others = [findings[row] for row in rows], [impressions[row] for row in rows]
        texts = Texts(some, others, settings)
    _refuse_one_text(texts)
    files, patients = table["sha256"].to_list(), table["patient_id"].to_list()
    total = hashlib.sha256()
    for row in rows:
        line = (images[row], files[row], findings[row], impressions[row])
        total.update(repr(line).encode())
    return Told(
        rows=rows,
        patients=tuple(patients[row] for row in rows),
        texts=texts,
        left_out=len(images) - len(rows),
        digest=total.hexdigest(),
    )


def survey(texts: Texts, context: int) -> tuple[list[int], dict[str, int]]:
    """Return every token that occurs, and how many texts there are: numbers, never words."""
    reports = list(dict.fromkeys(passage.text for passage in texts.whole))
    ids: set[int] = set()
    cut = 0
    for start in range(0, len(reports), AT_ONCE):
        tokens = tokenise(reports[start : start + AT_ONCE], LONGEST, on_long="cut")
        ids.update(np.unique(tokens).tolist())
        cut += int((lengths(tokens) > context).sum())
    counts = {"reports": len(reports), "sentences": len(texts.vocabulary), "longer_reports": cut}
    return sorted(ids), counts


def refuse_shared_patients(train: Iterable[str], validation: Iterable[str]) -> None:
    """Make sure that nobody is in both.

    Raises
    ------
    LeakError
        With the number of such patients and up to three examples.
    """
    if shared := sorted(set(train) & set(validation)):
        raise LeakError(
            f"{len(shared)} patients have images for training and for validation "
            f"({', '.join(shared[:3])}): the weights would be chosen by what they have seen; "
            "split by patient (hilum show lists the splits)"
        )


def refuse_test_images(splits: Iterable[str | None]) -> None:
    """Make sure that nothing is learnt from, or chosen by, the images that are for the end.

    That holds for pretraining, too: an encoder that has seen the test images, and a pair that has
    read what is said of them, are judged too kindly there.

    Raises
    ------
    LeakError
        With the number of such images.
    """
    if count := sum(split == "test" for split in splits):
        raise LeakError(
            f"{count} of the images to learn from or to choose by are of the split test, which is "
            "for the end alone: leave them out (split <> 'test'); a collection that nothing will "
            "be measured on can be ingested without a test split (--fractions 0.9,0.1,0)"
        )


def _check_ids(images: list[str], reports: Mapping[str, str]) -> None:
    if not set(images) & set(reports):
        example = f"those of the reports are like {next(iter(reports))!r}" if reports else "none"
        raise UsageError(
            f"no report has the id of one of the {len(images)} images: those of the images are "
            f"like {images[0]!r}, {example}"
        )


def _nothing_said(texts: Texts, images: int) -> str:
    some = sum(len(passage.parts) > 0 for passage in texts.whole)
    if not some:
        return (
            f"none of the {images} images has a report (columns {FINDINGS} and {IMPRESSION}); "
            "to learn from images alone there is hilum pretrain moco"
        )
    asked = [name for name, weight in texts.settings.named.items() if weight]
    return (
        f"none of the {images} images has what is to be drawn from its report "
        f"({', '.join(asked)}), {some} have another part; change the weights of the parts"
    )


def _refuse_one_text(texts: Texts) -> None:
    if len({words(passage.text) for passage in texts.whole}) == 1:
        raise UsageError(
            f"all {len(texts)} reports have the same words, so there is nothing to learn from "
            "them; is this the column of reports?"
        )
