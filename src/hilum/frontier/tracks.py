"""Lines before they are measured: every way to spend labels, and what stands beside."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from hilum.errors import CollectionError, UsageError
from hilum.frontier import others
from hilum.frontier.design import CHANCE, Design
from hilum.frontier.few import ALL, Stop, Walk, go, walks
from hilum.frontier.material import Material
from hilum.frontier.others import Work
from hilum.frontier.parallel import in_order
from hilum.frontier.result import Kind
from hilum.select.worklist import MEDSELECT

SELECTED: Final = "the selector was taught with labels of other tasks, which are not counted here"


@dataclass(frozen=True, eq=False)
class Track:
    """A line before it is measured.

    Parameters
    ----------
    name, kind, strategy, reader, embedding, remark
        As in `Line`.
    labels
        Of its points.
    scores
        By point, a file for each repeat.
    inputs, runs
        Of a network with all labels: what it sees, and where it was trained.
    why_missing
        Why there is none; "" where there is one.
    """

    name: str
    kind: Kind
    labels: tuple[int, ...]
    scores: tuple[list[Path], ...]
    strategy: str = ""
    reader: str = ""
    embedding: str = ""
    remark: str = ""
    inputs: tuple[str, ...] = ()
    runs: tuple[Path, ...] = ()
    why_missing: str = ""


def few_labels(
    work: Work, design: Design, materials: Sequence[Material], budgets: tuple[int, ...],
    processes: int,
) -> list[Track]:  # fmt: skip
    """Spend labels by every strategy with every seed, in several processes.

    Returns
    -------
    A track for each strategy, reader and embedding, all labels included.
    """
    few, kept = design.few, work.folder / "kept"
    asked: list[tuple[Walk, Material]] = []
    for material in materials:
        names = few.names() if material is materials[0] else (CHANCE,)
        asked += [
            (walk, material)
            for walk in walks(names, few.repeats, design.seed, budgets, few.readers,
                              few.per_patient, few.selector)
        ]  # fmt: skip
        every = Walk(ALL, design.seed, (len(material.pool.ids),), few.readers)
        asked.append((every, material))
    stops: list[list[Stop]] = []
    items = [(walk, material, kept) for walk, material in asked]
    for walked in in_order(go, items, processes):
        stops.append(walked)
        done = asked[len(stops) - 1][0]
        work.progress(len(stops), len(asked), f"{done.strategy}, seed {done.seed}")
    return list(_tracks(design, materials, asked, stops))


def _tracks(
    design: Design, materials: Sequence[Material], asked: Sequence[tuple[Walk, Material]],
    stops: Sequence[list[Stop]],
) -> Iterator[Track]:  # fmt: skip
    """Join the seeds of a strategy to a track for each reader."""
    groups: dict[tuple[str, str], list[list[Stop]]] = {}
    for (walk, material), walked in zip(asked, stops, strict=True):
        groups.setdefault((material.name, walk.strategy), []).append(walked)
    for (embedding, strategy), repeats in groups.items():
        main = embedding == materials[0].name
        for reader in design.few.readers:
            kind: Kind = "all" if strategy == ALL else "few"
            if not main and kind == "few":
                kind = "control"
            name = f"{strategy}, {reader}" + ("" if main else f" on {embedding}")
            labels = tuple(stop.labels for stop in repeats[0])
            scores = tuple([one[at].scores[reader] for one in repeats] for at in range(len(labels)))
            remark = SELECTED if strategy == MEDSELECT else ""
            yield Track(name, kind, labels, scores, strategy, reader, embedding, remark)


# ------------------------------------------------------------------ beside few labels


def beside_few_labels(
    work: Work, design: Design, material: Material, tracks: Sequence[Track],
    told: Callable[[str], None],
) -> list[Track]:  # fmt: skip
    """Make whatever needs no choice of images; say of each that it is there, or why it is not."""
    out = []
    for track in _each_beside(work, design, material, tracks):
        if track.why_missing:
            told(f"{track.name}: left out: {track.why_missing}")
        else:
            told(f"{track.name}: measured")
        out.append(track)
    return out


def _each_beside(
    work: Work, design: Design, material: Material, tracks: Sequence[Track]
) -> Iterator[Track]:
    everything = len(material.pool.ids)
    asked = design.others
    if asked.pairs:
        yield Track("zero-shot", "none", (0,), (others.from_sentences(work),))
    if asked.reports:
        yield from _from_reports(work, design, material)
    for inputs in asked.floors:
        yield _floor(work, inputs, everything)
    yield from _tuned(work, design, material, tracks)
    for inputs in asked.full:
        yield _network(work, inputs, everything)


def _floor(work: Work, inputs: tuple[str, ...], everything: int) -> Track:
    name = f"no pixels: {', '.join(inputs)}"
    try:
        scores = others.without_pixels(work, inputs)
    except (UsageError, CollectionError) as error:
        return _missing(name, "floor", str(error))
    return Track(name, "floor", (everything,), (scores,))


_NO_ENCODER = "no encoder to start from was given"


def _network(work: Work, inputs: tuple[str, ...], everything: int) -> Track:
    name = f"network: {', '.join(inputs)}"
    if work.design.others.encoder is None:
        return _missing(name, "full", _NO_ENCODER)
    try:
        scores, runs = others.fully_supervised(work, inputs)
    except (UsageError, CollectionError) as error:
        return _missing(name, "full", str(error))
    remark = "labels of validation images choose its weights"
    return Track(name, "full", (everything,), (scores,), remark=remark, inputs=inputs,
                 runs=tuple(runs))  # fmt: skip


def _missing(name: str, kind: Kind, why: str) -> Track:
    return Track(name, kind, (), (), why_missing=why)


def _from_reports(work: Work, design: Design, material: Material) -> Iterator[Track]:
    for reader in design.few.readers:
        name = f"labels from reports, {reader}"
        try:
            scores = others.from_reports(work, material, reader)
        except CollectionError as error:
            yield _missing(name, "none", str(error))
        else:
            remark = "no image was labelled: reports of the training images were read"
            yield Track(name, "none", (0,), (scores,), reader=reader,
                        embedding=material.name, remark=remark)  # fmt: skip


def _tuned(
    work: Work, design: Design, material: Material, tracks: Sequence[Track]
) -> Iterator[Track]:
    """Teach the network the same random images that the readers of few labels had."""
    few, name = design.few, "random, fine-tuned"
    if not few.fine_tuned:
        return
    if design.others.encoder is None:
        yield _missing(name, "tuned", _NO_ENCODER)
        return
    budgets = next(track.labels for track in tracks if track.strategy == CHANCE)
    wanted = tuple(budget for budget in few.fine_tuned if budget in budgets)
    repeats = min(few.repeats, design.others.networks)
    scores: list[list[Path]] = [[] for _ in wanted]
    for walk in walks((CHANCE,), repeats, design.seed, budgets, few.readers[:1],
                      few.per_patient, None):  # fmt: skip
        stops = {stop.labels: stop for stop in go(walk, material, work.folder / "kept")}
        for at, budget in enumerate(wanted):
            picked = work.kept.load(stops[budget].picks)
            scores[at].append(others.fine_tuned(work, material, picked, walk.seed - design.seed))
    if not wanted:
        yield _missing(name, "tuned", "none of its numbers of labels is a budget here")
    else:
        yield Track(name, "tuned", wanted, tuple(scores), CHANCE, "fine-tuned",
                    material.name)  # fmt: skip
