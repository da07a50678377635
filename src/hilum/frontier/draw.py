"""From a collection to its frontier: few labels in parallel, networks one after another."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

import numpy as np

from hilum.errors import UsageError
from hilum.evaluate import Intervals, Measure
from hilum.evaluate.intervals import percentile
from hilum.evaluate.multiplicity import holm
from hilum.frontier import others
from hilum.frontier.along import between, height, labels_needed
from hilum.frontier.design import CHANCE, Design, FewLabels
from hilum.frontier.goal import choose_goal
from hilum.frontier.material import TEST, TRAIN, Floats, Material, gather, truth_of
from hilum.frontier.measured import Drawn, measure
from hilum.frontier.others import Work
from hilum.frontier.parallel import in_order
from hilum.frontier.result import KINDS, Frontier, Line, Point
from hilum.frontier.tracks import Track, beside_few_labels, few_labels
from hilum.progress import Progress, silent
from hilum.select.labelled import refuse_seen_patients

if TYPE_CHECKING:
    from hilum.collection import Collection

_Number = TypeVar("_Number", float, Floats)

HALF: Final = 0.5
"""AUROC of a model that knows nothing."""


def draw_frontier(
    collection: "Collection",
    folder: str | Path,
    design: Design,
    *,
    processes: int = 1,
    device: str = "auto",
    progress: Progress = silent,
    told: Callable[[str], None] = lambda _: None,
) -> Frontier:
    """Measure AUROC against the number of labels, for every way to choose and to read images.

    Labels of training images are spent as a radiologist's would be; the images of test patients
    are read with them. Nothing is chosen by what the test images say: lines are drawn beside each
    other, whichever is best.

    Parameters
    ----------
    collection
        A view with images of the splits train and test (and val, for networks), and labels.
    folder
        Where everything is kept. One of an earlier frontier is gone on from: what was computed
        from the same vectors, labels and settings is not computed again.
    design
        What is asked.
    processes
        How many select and read at once; networks use the whole machine.
    device
        For networks.
    progress, told
        Told of every step, and of what can only be said in a line.

    Raises
    ------
    UsageError
        If a setting cannot be used, or nothing can be measured.
    CollectionError
        If an embedding is not there, or images lack a vector.
    WeightsError, RunError, LeakError
        If a network cannot be loaded or trained, or a selector was taught by test patients.
    """
    measuring = design.measuring
    truth = truth_of(collection, measuring.findings, measuring.policy, measuring.fewest)
    work = Work(collection, truth, design, Path(folder), device, progress)
    design = replace(design, few=_selector(collection, design))
    names = (design.embedding, *design.few.controls)
    materials = [gather(collection, name, truth, measuring.policy) for name in names]
    others.check_models(work)
    budgets = _budgets(design, materials[0], told)
    tracks = few_labels(work, design, materials, budgets, processes)
    tracks += beside_few_labels(work, design, materials[0], tracks, told)
    goal = choose_goal(work, materials[0], tracks)
    return _found(work, design, tracks, budgets, goal, processes)


# ------------------------------------------------------------------ few labels


def _selector(collection: "Collection", design: Design) -> FewLabels:
    """Return few-label settings with the selector's file, after looking whom it has seen."""
    if design.few.selector is None:
        return design.few
    from hilum.select.selector import load_selector
    from hilum.select.selector_run import FILE_NAME

    path = Path(design.few.selector)
    path = path / FILE_NAME if path.is_dir() else path
    refuse_seen_patients(collection, TEST, load_selector(path).spec.provenance)
    return replace(design.few, selector=str(path))


def _budgets(design: Design, material: Material, told: Callable[[str], None]) -> tuple[int, ...]:
    """Return the numbers of labels that the training images allow."""
    most = len(material.pool.ids)
    if (limit := design.few.per_patient) is not None:
        counts = np.unique(np.array(material.pool.patients), return_counts=True)[1]
        most = int(np.minimum(counts, limit).sum())
    kept = tuple(budget for budget in design.few.budgets if budget <= most)
    if not kept:
        raise UsageError(f"there are {most} training images to label, fewer than any budget")
    if dropped := design.few.budgets[len(kept) :]:
        told(f"{most:,} training images: no point for {', '.join(map(str, dropped))} labels")
    return kept


# ------------------------------------------------------------------ measured


def _found(
    work: Work, design: Design, tracks: Sequence[Track], budgets: tuple[int, ...], goal: str,
    processes: int,
) -> Frontier:  # fmt: skip
    how = Intervals(design.measuring.bootstrap, design.seed, design.measuring.level)
    drawn = _measured(work, [t for t in tracks if not t.why_missing], how, processes)
    full = drawn[goal][-1]
    share = design.measuring.share
    reach = percentile(_above(full.mean, share), _above(full.mean_replicates, share), how.level)
    if full.mean <= HALF:  # a share of nothing is nothing to reach
        reach = Measure(None, reason="full supervision is not above one half")
    missing = {track.name: track.why_missing for track in tracks if track.why_missing}
    lines = [
        _line(work, track, drawn, reach, _above(full.mean_replicates, share), how)
        for kind in KINDS
        for track in tracks
        if track.kind == kind and track.name in drawn
    ]
    splits = (TRAIN, "val", TEST)
    views = {split: work.part(split).table(["patient_id"])["patient_id"] for split in splits}
    return Frontier(
        tuple(_adjusted(lines)), work.findings,
        {split: len(people) for split, people in views.items()},
        {split: people.n_unique() for split, people in views.items()},
        goal, share, reach, work.truth.left_out, missing,
        {**asdict(design), "budgets": budgets, "collection": work.collection.uri,
         "version": work.collection.version},
    )  # fmt: skip


def _measured(
    work: Work, tracks: Sequence[Track], how: Intervals, processes: int
) -> dict[str, list[Drawn]]:
    jobs = [(track.name, scores) for track in tracks for scores in track.scores]
    kept = work.folder / "kept"
    items = [(scores, work.truth, how, kept) for _, scores in jobs]
    out: dict[str, list[Drawn]] = {}
    for at, found in enumerate(in_order(measure, items, processes)):
        out.setdefault(jobs[at][0], []).append(found)
        work.progress(at + 1, len(jobs), f"intervals: {jobs[at][0]}")
    return out


def _above(value: _Number, share: float) -> _Number:
    """Return where a share of what is above chance lies."""
    return HALF + share * (value - HALF)


def _line(
    work: Work, track: Track, drawn: dict[str, list[Drawn]], reach: Measure, targets: Floats,
    how: Intervals,
) -> Line:  # fmt: skip
    points = tuple(
        Point(
            labels,
            found.measure(how.level),
            {name: found.of_finding(at, how.level) for at, name in enumerate(work.findings)},
            len(found.estimates),
            found.spread,
            found.untaught,
        )
        for labels, found in zip(track.labels, drawn[track.name], strict=True)
    )
    line = Line(
        track.name, track.kind, points, track.strategy, track.reader, track.embedding,
        runs=tuple(str(run.relative_to(work.folder)) for run in track.runs), remark=track.remark,
    )  # fmt: skip
    if len(points) < 2:
        return line
    own = _curve(drawn[track.name])
    line = replace(line, height=height(track.labels, *own, how.level))
    if reach.estimate is not None:
        needed = labels_needed(track.labels, *own, reach.estimate, targets, how.level)
        line = replace(line, needed=needed)
    beside = f"{CHANCE}, {track.reader}"
    if track.kind == "few" and track.strategy != CHANCE:
        gap = between(track.labels, own, _curve(drawn[beside]), how.level)
        line = replace(line, over_chance=gap)
    return line


def _curve(points: Sequence[Drawn]) -> tuple[Floats, Floats]:
    """Return the means (n_points,) and their replicates (resamples, n_points)."""
    means = np.array([point.mean for point in points])
    return means, np.stack([point.mean_replicates for point in points], axis=1)


def _adjusted(lines: Sequence[Line]) -> Iterator[Line]:
    """Correct the p-values of all differences from random images together (Holm)."""
    gaps = [line.over_chance for line in lines if line.over_chance is not None]
    values = [np.nan if gap.p_value is None else gap.p_value for gap in gaps]
    adjusted = iter(holm(values).tolist())
    for line in lines:
        if line.over_chance is None:
            yield line
            continue
        p = next(adjusted)
        better = replace(line.over_chance, p_adjusted=None if np.isnan(p) else p)
        yield replace(line, over_chance=better)
