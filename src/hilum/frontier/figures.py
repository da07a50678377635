"""The frontier drawn: a panel per reader, what all readers share in each."""

from collections.abc import Iterator
from typing import Final

from hilum.frontier.design import CHANCE
from hilum.frontier.few import ALL
from hilum.frontier.result import Frontier, Line
from hilum.plots.frontiers import Curve, Mark, Panel

READERS: Final = {
    "cosine": "Cosine prototypes",
    "euclidean": "Distance prototypes",
    "knn": "Nearest neighbours",
    "probe": "Logistic probe",
}


def panels(found: Frontier) -> list[Panel]:
    """Return a panel for each reader of few labels."""
    readers = dict.fromkeys(line.reader for line in found.of("few"))
    return [
        Panel(READERS[reader], list(_curves(found, reader)), list(_marks(found, reader)))
        for reader in readers
    ]


def _curves(found: Frontier, reader: str) -> Iterator[Curve]:
    for line in found.of("few", "control", "tuned"):
        if line.reader not in (reader, "fine-tuned"):
            continue
        chance = line.kind == "few" and line.strategy == CHANCE
        labels = [point.labels for point in line.points]
        means = [point.mean for point in line.points]
        yield Curve(_short(line), labels, means, plain=chance, bars=line.kind == "tuned")


def _marks(found: Frontier, reader: str) -> Iterator[Mark]:
    for line in found.of("none", "all", "full", "floor"):
        if line.reader in (reader, ""):
            yield Mark(_short(line), "none" if line.kind == "none" else "all", line.last.mean)


def _short(line: Line) -> str:
    """Return a name without the reader, which stands above the panel."""
    if line.kind == "few":
        return line.strategy
    if line.kind == "control":
        return f"{line.strategy} on {line.embedding}"
    if line.kind == "all":
        own = line.name.partition(" on ")[2]
        return f"{ALL} on {own}" if own else ALL
    return line.name.removesuffix(f", {line.reader}") if line.kind == "none" else line.name
