"""How well images of a class that an encoder was never taught stand out.

An image's score is its distance from the nearest class among those that were taught, each the mean
of its training images' vectors (X-MIR; Hu, Vasu and Hoogs, WACV 2022). The vectors have length 1,
their means are left as they are, and the distance is Euclidean.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hilum.errors import LeakError, UsageError
from hilum.evaluate.draws import Draws
from hilum.evaluate.intervals import Measure
from hilum.evaluate.outliers import name_of, outlier_measures
from hilum.evaluate.text import as_text
from hilum.retrieve.cases import among
from hilum.retrieve.queries import Flags, Labelled, Vectors, labelled
from hilum.tables import Table

if TYPE_CHECKING:
    from hilum.collection import Collection

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class AnomalyMetrics:
    """How well a class stands out.

    Parameters
    ----------
    anomaly
        The class.
    measures
        ``auroc``, ``average_precision`` (AUPR) and ``fpr@95``, the false positive rate at the
        highest threshold with at least that recall.
    chance
        What scores without meaning would have.
    images, positives, patients
        How many images were counted, how many of them show the class, and of how many patients
        they are, who are what is resampled.
    unknown
        Images that were scored and not counted: it is not known whether they show the class.
    classes
        The classes they were compared with, and how many images each mean is of.
    resamples, level
        Of patients; coverage of the intervals.
    scores
        Of every image, which `hilum.write_table` writes and `hilum.evaluate` reads.
    """

    anomaly: str
    measures: dict[str, Measure]
    chance: dict[str, float]
    images: int
    positives: int
    patients: int
    unknown: int
    classes: dict[str, int]
    resamples: int
    level: float
    scores: Table = field(repr=False, compare=False)

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON types, all but `scores`."""
        plain = {name: value for name, value in vars(self).items() if name != "scores"}
        return {**plain, "measures": {name: asdict(one) for name, one in self.measures.items()}}

    def to_text(self) -> str:
        """Return a table for a terminal."""
        lines = [f"{'':<20}{self.anomaly:<26}by chance"]
        for name, measure in self.measures.items():
            said = name.replace("_", " ").replace("fpr@", "FPR at ")
            said += " % recall" if name.startswith("fpr@") else ""
            lines.append(f"{said:<20}{as_text(measure):<26}{self.chance[name]:.3f}")
        known = ", ".join(f"{name} ({number})" for name, number in self.classes.items())
        lines += [
            f"{self.positives} of {self.images} images show it, of {self.patients} patients",
            f"distance from the nearest mean of {known}",
        ]
        if self.unknown:
            lines.append(f"{self.unknown} images not counted: unknown whether they show it")
        if self.resamples:
            lines.append(f"{self.level:.0%} intervals from {self.resamples} resamples of patients")
        return "\n".join(lines)


def evaluate_anomaly(
    collection: "Collection",
    embedding: str,
    anomaly: str,
    *,
    findings: Sequence[str] | None = None,
    known: str = "split = 'train'",
    where: str = "split = 'test'",
    recall: float = 0.95,
    bootstrap: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> AnomalyMetrics:
    """Measure how well a class stands out from those that an encoder was taught.

    It is only an anomaly to an encoder that has not learnt it: `hilum.train_metric` with the same
    `anomaly`, or one that was taught no classes at all.

    Parameters
    ----------
    collection
        With vectors of `embedding` and labels.
    anomaly
        The class.
    findings
        The classes it is to stand out from; all others of the collection if None.
    known
        SQL: the images that those are known by; of them, those in which `anomaly` is known to be
        absent.
    where
        SQL: the images to score.
    recall
        Of the false positive rate.
    bootstrap, level, seed
        Resamples of patients, coverage of the intervals, and of the random numbers.

    Raises
    ------
    UsageError
        If a setting is out of range, no image fulfils a condition, the scored images do not have
        both with and without the class, or no class is known by any image.
    LeakError
        If a patient has images on both sides.
    CollectionError
        If there is no such embedding or finding, or images have no vector.
    """
    if bootstrap < 0 or not 0 < level < 1 or not 0 < recall <= 1:
        raise UsageError(
            "bootstrap must be 0 or more, level in 0...1, recall above 0 and at most 1; got "
            f"{bootstrap}, {level}, {recall}"
        )
    (anomaly,) = collection.labels(findings=[anomaly]).findings
    names = [name for name in collection.labels(findings=findings).findings if name != anomaly]
    taught, absent = _with_truth(collection, embedding, names, anomaly, known)
    taught = taught.take(np.flatnonzero(absent == 0))
    means, counts = class_means(taught.vectors, taught.positive, names)
    asked, truth = _with_truth(collection, embedding, names, anomaly, where)
    _refuse_shared(taught, asked)
    scores = anomaly_scores(asked.vectors, means)
    told = ~np.isnan(truth)
    positives, images = int((truth == 1).sum()), int(told.sum())
    if not 0 < positives < images:
        raise UsageError(
            f"{positives} of the {images} images to score show {anomaly}; some must and others "
            "must not"
        )
    owners, patients = np.unique(np.array(asked.patients)[told], return_inverse=True)
    draws = Draws(len(owners), bootstrap, seed)
    return AnomalyMetrics(
        anomaly=anomaly,
        measures=outlier_measures(scores[told], truth[told], patients, draws, level, recall),
        chance={"auroc": 0.5, "average_precision": positives / images, name_of(recall): recall},
        images=images,
        positives=positives,
        patients=len(owners),
        unknown=len(truth) - images,
        classes=counts,
        resamples=bootstrap,
        level=level,
        scores=Table(asked.ids, (anomaly,), scores[:, None], {"patient_id": asked.patients}),
    )


def class_means(
    vectors: Vectors, positive: Flags, names: Sequence[str]
) -> tuple[Floats, dict[str, int]]:
    """Return the mean vector of each class, and how many images it is of.

    Parameters
    ----------
    vectors : (n, dim)
        Of length 1.
    positive : (n, f)
        Which classes each image shows.
    names
        Of the classes.

    Returns
    -------
    (c, dim), of the classes with an image, not brought to length 1; and how many each has.

    Raises
    ------
    UsageError
        If no class has an image.
    """
    counts = {name: int(own.sum()) for name, own in zip(names, positive.T, strict=True)}
    there = positive[:, positive.any(axis=0)].astype(np.float64)
    if not there.shape[1]:
        raise UsageError(
            f"none of the {len(vectors)} images shows one of {', '.join(names) or 'no class'}, so "
            "there is nothing to stand out from"
        )
    means: Floats = (there / there.sum(axis=0)).T @ vectors.astype(np.float64)
    return means, {name: count for name, count in counts.items() if count}


def anomaly_scores(vectors: Vectors, means: Floats) -> Floats:
    """Return each vector's Euclidean distance from the nearest mean: (n,)."""
    exact = vectors.astype(np.float64)
    apart = np.stack([np.linalg.norm(exact - mean, axis=1) for mean in means])
    nearest: Floats = apart.min(axis=0)
    return nearest


def _with_truth(
    collection: "Collection", embedding: str, names: Sequence[str], anomaly: str, where: str
) -> tuple[Labelled, Floats]:
    """Return the images that fulfil a condition, and whether they show the class: 1, 0 or NaN."""
    view = among(collection, where)
    truth = view.labels(findings=[anomaly]).values[:, 0]
    return labelled(view, embedding, names), np.where(np.isin(truth, (0, 1)), truth, np.nan)


def _refuse_shared(taught: Labelled, asked: Labelled) -> None:
    shared = sorted(set(taught.patients) & set(asked.patients))
    if shared:
        raise LeakError(
            f"patient {shared[0]!r} and {len(shared) - 1} more have images among those that the "
            "classes are known by and among those to score; choose by split, which keeps patients "
            "apart"
        )
