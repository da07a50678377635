"""What a pair is worth while it trains: how well it finds reports, or reads findings.

Recall needs no labels. An AUROC does: those of the validation patients, to choose the weights by.
"""

from collections.abc import Callable, Sequence
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray

from hilum.encoders import PairEncoder
from hilum.errors import UsageError
from hilum.evaluate import auroc
from hilum.findings import VOCABULARY
from hilum.prompts import pair_scores, prompt_pairs, prompt_vectors
from hilum.reports.words import words
from hilum.tables import Table, label_values
from hilum.training.feed import Feed

Measure = Callable[[], float]
Vectors = NDArray[np.float32]
AT_ONCE: Final = 256  # images encoded together
FIRST: Final = 10  # places in which it must be


def retrieval(pair: PairEncoder, feed: Feed, reports: Sequence[str]) -> Measure:
    """Return the measure of how well a pair finds an image's report, and a report's image.

    The share of images whose report is among the ten nearest, and of reports whose image is,
    averaged. Reports with the same words are one report, and any image of it is right; images
    look among the different reports. It depends on how many there are: compare runs on the same.

    Parameters
    ----------
    feed, reports
        Validation images, and the report of each; longer ones are cut to the pair's context.

    Raises
    ------
    UsageError
        If all reports are the same: everything would be found.
    """
    codes: dict[tuple[str, ...], int] = {}
    group = np.array([codes.setdefault(words(text), len(codes)) for text in reports])
    if len(codes) < 2:
        raise UsageError(
            f"the {len(reports)} validation images have one report between them, so there is "
            "nothing to find; validate by zeroshot or none"
        )
    different = [reports[int(row)] for row in np.unique(group, return_index=True)[1]]
    own = group[:, None] == np.arange(len(different))

    def measure() -> float:
        cosines = encode(pair, feed) @ pair.encode_texts(different, on_long="cut").T
        by_image = recall(cosines, own, FIRST)
        by_report = recall(cosines.T[group], own.T[group], FIRST)  # each image's report asks
        return (by_image + by_report) / 2

    return measure


def zeroshot(pair: PairEncoder, feed: Feed, labels: Table) -> Measure:
    """Return the measure of how well a pair reads findings it was never given labels of.

    The mean AUROC over the findings of the vocabulary that some validation images have and
    others have not, by hilum's own prompts. Uncertain and unknown labels take no part.

    Raises
    ------
    UsageError
        If there is no such finding.
    """
    truth = label_values(labels, "ignore")
    present, absent = (truth == 1).any(axis=0), (truth == 0).any(axis=0)
    columns = [
        column
        for column, name in enumerate(labels.findings)
        if name in VOCABULARY and present[column] and absent[column]
    ]
    if not columns:
        raise UsageError(
            f"none of {len(labels.findings)} findings is present in some of the {len(labels)} "
            "validation images and absent in others, so there is no AUROC; validate by retrieval "
            "or none"
        )
    pairs = prompt_pairs([labels.findings[column] for column in columns])

    def measure() -> float:
        scores = pair_scores(encode(pair, feed), prompt_vectors(pairs, pair.encode_texts))
        found = []
        for place, column in enumerate(columns):
            known = ~np.isnan(truth[:, column])
            found.append(auroc(scores[known, place], truth[known, column] == 1))
        return float(np.mean(found))

    return measure


def recall(cosines: Vectors, hits: NDArray[np.bool_], first: int) -> float:
    """Return the share of rows with a hit among their `first` highest columns.

    Columns that are as high as the best hit come before it: where all are equal nothing is found.

    Parameters
    ----------
    cosines : (n, m)
    hits : (n, m)
        Each row has one at least.
    """
    best = np.where(hits, cosines, -np.inf).max(axis=1, keepdims=True)
    before = ((cosines >= best) & ~hits).sum(axis=1)
    return float((before < first).mean())


def encode(pair: PairEncoder, feed: Feed) -> Vectors:
    """Return the vectors (n, dim) of the images of a feed."""
    out = np.empty((len(feed), pair.spec.dim), np.float32)
    rows = np.arange(len(feed))
    with torch.inference_mode():
        for start in range(0, len(rows), AT_ONCE):
            part = rows[start : start + AT_ONCE]
            out[part] = pair.features(feed(part)).cpu().numpy()
    return out
