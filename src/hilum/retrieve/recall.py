"""How often the right report, or the right image, is among the first: with intervals by patient.

Reports with the same words are one report, and an image of any of them is a right answer: half of
all reports are normal, and which normal film was meant nobody could say.
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from hilum.errors import UsageError
from hilum.evaluate.draws import Draws
from hilum.evaluate.intervals import Measure
from hilum.evaluate.text import as_text
from hilum.reports.words import words
from hilum.retrieve.cases import among
from hilum.retrieve.query import check_same_space
from hilum.retrieve.ranks import places
from hilum.retrieve.statistics import MEDIAN, by_chance, measures
from hilum.zeroshot.sentences import pair_from

if TYPE_CHECKING:
    import polars as pl

    from hilum.collection import Collection
    from hilum.encoders import PairEncoder

Ints = NDArray[np.int64]

SECTIONS: Final = ("impression", "findings")


@dataclass(frozen=True)
class Direction:
    """What was found one way.

    Parameters
    ----------
    measures
        ``recall@k`` for each k, the share of queries with a right answer among the first k, and
        ``median_rank``, the middle place of the first right answer.
    chance
        The recall of an encoder that answers at random.
    """

    measures: dict[str, Measure]
    chance: dict[str, float]


@dataclass(frozen=True)
class RetrievalMetrics:
    """Both ways. Every image with a report is a query, or brings its report as one.

    Parameters
    ----------
    report_to_image, image_to_report
        Among the images with a report; among the different reports.
    images, reports, patients
        How many images have a report, how many different ones there are, and of how many
        patients, who are what is resampled.
    without_report, cut
        Images left out, and reports longer than the encoder reads, of which it read the start.
    section
        ``"impression"`` or ``"findings"``.
    resamples, level
        Of patients; coverage of the intervals.
    """

    report_to_image: Direction
    image_to_report: Direction
    images: int
    reports: int
    patients: int
    without_report: int
    cut: int
    section: str
    resamples: int
    level: float

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON types."""
        return asdict(self)

    def to_text(self) -> str:
        """Return a table for a terminal."""
        both = (self.report_to_image, self.image_to_report)
        lines = [_row("", "report to image", "image to report")]
        for name in both[0].measures:
            digits = 1 if name == MEDIAN else 3
            cells = (as_text(one.measures[name], digits) for one in both)
            lines.append(_row(name.replace("_", " "), *cells))
            if name in both[0].chance:
                lines.append(_row("  by chance", *(f"{one.chance[name]:.3f}" for one in both)))
        lines += [
            f"{self.images} images of {self.patients} patients, {self.reports} different reports "
            f"({self.section})",
            f"{self.without_report} images without a report left out, {self.cut} reports cut",
        ]
        if self.resamples:
            lines.append(f"{self.level:.0%} intervals from {self.resamples} resamples of patients")
        return "\n".join(lines)


def _row(name: str, *cells: str) -> str:
    return f"{name:<14}" + "".join(f"{cell:<26}" for cell in cells).rstrip()


def evaluate_retrieval(
    collection: "Collection",
    embedding: str,
    encoder: "PairEncoder | str | Path",
    *,
    section: str = "impression",
    k: Sequence[int] = (1, 5, 10),
    where: str | None = None,
    bootstrap: int = 1000,
    level: float = 0.95,
    seed: int = 0,
    device: str = "auto",
) -> RetrievalMetrics:
    """Measure how well reports find their images, and images their reports.

    Parameters
    ----------
    collection
        Images with reports, and vectors by the image side of `encoder`.
    embedding
        The name of the vectors.
    encoder
        A pair of encoders, or what `load_encoder` takes.
    section
        Of the reports: ``"impression"`` or ``"findings"``.
    k
        A right answer counts if it is among the first k.
    where
        SQL: only these images, as queries and as answers. Recall depends on how many there are:
        compare encoders on the same ones.
    bootstrap, level, seed
        Resamples of patients, coverage of the intervals, and of the random numbers.
    device
        ``auto``, ``cpu`` or ``cuda``, for an encoder that is loaded here.

    Raises
    ------
    UsageError
        If a setting is out of range, no image fulfils `where`, there are fewer than two
        different reports, or the embedding is another encoder's.
    WeightsError
        If the encoder cannot be loaded, or reads images alone.
    CollectionError
        If there is no such embedding, or images have no vector.
    """
    _check(section, k, bootstrap, level)
    view = among(collection, where)
    pair = pair_from(encoder, device)
    next(iter(view.vector_batches(embedding)))  # says what is missing before texts are encoded
    check_same_space(view, embedding, pair)
    told = _reports(view, section)
    texts = pair.encode_texts(told.texts, on_long="cut")
    image_places, text_places = places(lambda: _kept(view, embedding, told.has), texts, told.owner)
    draws = Draws(int(told.patients.max()) + 1, bootstrap, seed)
    n, m = len(told.owner), len(told.texts)
    shares = np.bincount(told.owner, minlength=m)[told.owner]
    return RetrievalMetrics(
        report_to_image=Direction(
            measures(text_places[told.owner], told.patients, k, draws, level),
            {f"recall@{one}": by_chance(n, shares, one) for one in k},
        ),
        image_to_report=Direction(
            measures(image_places, told.patients, k, draws, level),
            {f"recall@{one}": by_chance(m, np.ones(1, np.int64), one) for one in k},
        ),
        images=n,
        reports=m,
        patients=draws.n_units,
        without_report=int((~told.has).sum()),
        cut=_too_long(told.texts, pair.spec.context),
        section=section,
        resamples=bootstrap,
        level=level,
    )


def _check(section: str, k: Sequence[int], bootstrap: int, level: float) -> None:
    if section not in SECTIONS:
        raise UsageError(f"{section!r} is not a section; choose from {', '.join(SECTIONS)}")
    if not k or min(k) < 1:
        raise UsageError(f"recall is measured among the first 1 or more; got {tuple(k)}")
    if bootstrap < 0 or not 0 < level < 1:
        raise UsageError(
            f"resamples are 0 or more and a level is between 0 and 1; got {bootstrap}, {level}"
        )


# --------------------------------------------------------------------------- reports


@dataclass(frozen=True, eq=False)
class _Told:
    """What the reports of a view say.

    Parameters
    ----------
    has : (n_view,)
        Which images have a report.
    texts : (m,)
        The different reports, as they are first written.
    owner, patients : (n,)
        The report of each image that has one, and its patient.
    """

    has: NDArray[np.bool_]
    texts: tuple[str, ...]
    owner: Ints
    patients: Ints


def _reports(view: "Collection", section: str) -> _Told:
    frame: pl.DataFrame = view.table(["patient_id", f"report_{section}"])
    number: dict[str, int] = {}
    texts: list[str] = []
    owner = np.full(frame.height, -1, np.int64)
    for row, text in enumerate(frame[f"report_{section}"]):
        same = " ".join(words(text or ""))
        if same:
            owner[row] = number.setdefault(same, len(number))
        if len(number) > len(texts):
            texts.append(text)
    if len(texts) < 2:
        raise UsageError(
            f"the {frame.height} images have {len(texts)} different reports between them "
            f"(section {section}), so there is nothing to find"
        )
    has = owner >= 0
    patients = np.unique(frame["patient_id"].filter(has).to_numpy(), return_inverse=True)[1]
    return _Told(has, tuple(texts), owner[has], patients.astype(np.int64))


def _kept(
    view: "Collection", embedding: str, has: NDArray[np.bool_]
) -> Iterator[NDArray[np.float32]]:
    done = 0
    for ids, vectors in view.vector_batches(embedding):
        yield vectors[has[done : done + len(ids)]]
        done += len(ids)


def _too_long(texts: Sequence[str], context: int) -> int:
    """Count the texts that are cut: with one token more of context they are longer still."""
    from hilum.encoders import tokenise
    from hilum.encoders.text import lengths

    return int((lengths(tokenise(texts, context + 1, on_long="cut")) > context).sum())
