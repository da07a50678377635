"""What a frontier found: lines, each with its points, on one set of test patients."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from hilum.evaluate import Measure
from hilum.frontier.along import Needed

Kind = Literal["none", "few", "control", "tuned", "all", "full", "floor"]
"""``none``: no image was labelled for it. ``few``: a strategy and a reader. ``control``: the same
on another embedding. ``tuned``: the network is taught few labels. ``all``: a reader with all
labels. ``full``: a network with all labels. ``floor``: all labels and no pixel."""

KINDS: Final[dict[Kind, str]] = {
    "none": "no label",
    "few": "few labels",
    "control": "few labels, another embedding",
    "tuned": "few labels, the network taught",
    "all": "all labels, the embedding read",
    "full": "all labels, the network taught",
    "floor": "all labels, no pixels",
}


@dataclass(frozen=True)
class Point:
    """A line at one number of labels.

    Parameters
    ----------
    labels
        Labelled images.
    mean
        AUROC averaged over findings and repeats, with its interval over test patients.
    findings
        By finding, averaged over repeats.
    repeats
        How many there were.
    spread
        Standard deviation of the mean over findings between repeats; None for one.
    untaught
        Share of the findings, over repeats, that these labels could not teach; each counts as
        one half.
    """

    labels: int
    mean: Measure
    findings: Mapping[str, Measure]
    repeats: int
    spread: float | None
    untaught: float


@dataclass(frozen=True)
class Line:
    """One way to read the test images.

    Parameters
    ----------
    name
        What it is called.
    kind
        Which kind of way it is.
    points
        One or more, by number of labels.
    strategy, reader, embedding
        What chose the images, what read them and on which vectors; "" where that is no question.
    height
        Mean AUROC along the logarithm of labels; None for a single point.
    over_chance
        The same minus that of random images with this reader, paired; None for random images.
    needed
        Labels to reach the target; None for a single point.
    runs
        Where its networks were trained, a folder for each.
    remark
        What a reader of the numbers has to know; "" for nothing.
    """

    name: str
    kind: Kind
    points: tuple[Point, ...]
    strategy: str = ""
    reader: str = ""
    embedding: str = ""
    height: Measure | None = None
    over_chance: Measure | None = None
    needed: Needed | None = None
    runs: tuple[str, ...] = ()
    remark: str = ""

    @property
    def last(self) -> Point:
        """The point of the most labels."""
        return self.points[-1]


@dataclass(frozen=True)
class Frontier:
    """AUROC against labels, for every way there is to read the test images.

    Parameters
    ----------
    lines
        In the order of `KINDS`, then as asked for.
    findings
        What the means are over.
    images, patients
        By split, how many.
    goal
        The name of the line that stands for full supervision.
    share, target
        Of what that line is above chance, and the AUROC that is.
    left_out
        Findings that are not measured, and why.
    missing
        Lines that could not be drawn, and why.
    settings
        Everything that decided the numbers.
    """

    lines: tuple[Line, ...]
    findings: tuple[str, ...]
    images: Mapping[str, int]
    patients: Mapping[str, int]
    goal: str
    share: float
    target: Measure
    left_out: Mapping[str, str] = field(default_factory=dict)
    missing: Mapping[str, str] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)

    def of(self, *kinds: Kind) -> Iterator[Line]:
        """Yield the lines of some kinds."""
        return (line for line in self.lines if line.kind in kinds)

    def line(self, name: str) -> Line:
        """Return a line by its name."""
        return next(line for line in self.lines if line.name == name)

    @property
    def doubt(self) -> str:
        """Why full supervision is none: a line that is above it with fewer labels; "" if none is.

        That is seen on test images, so no number here follows from it.
        """
        goal = self.line(self.goal).last
        points = [(point.mean.estimate or 0.0, line.name, point.labels)
                  for line in self.of("few", "tuned") for point in line.points
                  if point.labels < goal.labels]  # fmt: skip
        best, name, labels = max(points, default=(0.0, "", 0))
        if best <= (goal.mean.estimate or 1.0):
            return ""
        return (
            f"{name} is at {best:.3f} with {labels:,} labels, above {self.goal} with all "
            f"{goal.labels:,}: full supervision was trained too little (more epochs?), so the "
            "labels needed are counted against too low a goal."
        )
