"""What is asked of a frontier: which lines, at how many labels, how often, measured how."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from hilum.errors import UsageError
from hilum.findings import Policy
from hilum.predictors import METHODS
from hilum.select.strategies import STRATEGIES
from hilum.select.worklist import MEDSELECT

BUDGETS: Final = (5, 10, 20, 50, 100, 200, 500, 1000)
CHANCE: Final = "random"
"""The strategy that the others are compared with."""

INPUTS: Final = (("image",), ("image", "demographics"), ("image", "demographics", "history"))
FLOORS: Final = (("demographics",), ("demographics", "history"))


def _known(what: str, names: tuple[str, ...], known: Mapping[str, Any], remark: str) -> None:
    for name in names:
        if name not in known:
            more = f"; {remark}" if remark else ""
            raise UsageError(f"{name!r} is not a {what}; choose from {', '.join(known)}{more}")
    if len(set(names)) != len(names):
        raise UsageError(f"a {what} is named twice: {', '.join(names)}")


@dataclass(frozen=True)
class FewLabels:
    """How few labels are spent and read.

    Parameters
    ----------
    budgets
        Numbers of labelled images, ascending. Those beyond the training images are left out.
    strategies
        Keys of `hilum.select.STRATEGIES`; `CHANCE` is always one of them. One that learns from
        labels chooses each number's images given the labels of the number before; its first are
        random.
    selector
        A trained selector's run or weights, as the strategy ``medselect``.
    readers
        Keys of `hilum.predictors.METHODS`.
    controls
        Other embeddings, such as one of random weights; their images are drawn at random.
    repeats
        Seeds of every strategy.
    per_patient
        At most so many images of one patient.
    fine_tuned
        Numbers of labels, out of the budgets, with which all of the encoder is taught; its images
        are drawn at random. Every one is a training, repeated as often as `OtherLines.networks`
        says, and not more often than `repeats`.
    fine_tune_steps, fine_tune_rounds
        Batches of such a training: so many, or so many rounds of its images if that is more. No
        validation image is looked at, as its label would be one more.
    """

    budgets: tuple[int, ...] = BUDGETS
    strategies: tuple[str, ...] = tuple(STRATEGIES)
    selector: str | None = None
    readers: tuple[str, ...] = ("cosine", "probe")
    controls: tuple[str, ...] = ()
    repeats: int = 5
    per_patient: int | None = None
    fine_tuned: tuple[int, ...] = ()
    fine_tune_steps: int = 200
    fine_tune_rounds: float = 20.0

    def __post_init__(self) -> None:
        if not self.budgets or list(self.budgets) != sorted(set(self.budgets)):
            raise UsageError(f"numbers of labels must ascend; got {list(self.budgets)}")
        if self.budgets[0] < 2:
            raise UsageError("one label shows one class only: begin with 2 or more")
        if self.repeats < 1 or self.fine_tune_steps < 1 or self.fine_tune_rounds < 0:
            raise UsageError("repeats and steps of fine-tuning must be 1 or more")
        _known("strategy", self.strategies, STRATEGIES, f"{MEDSELECT} comes with a selector")
        _known("reader", self.readers, METHODS, "")
        if not self.readers:
            raise UsageError("name one reader or more")
        if CHANCE not in self.strategies:
            object.__setattr__(self, "strategies", (CHANCE, *self.strategies))
        if strange := set(self.fine_tuned) - set(self.budgets):
            raise UsageError(f"fine-tuning is asked for {sorted(strange)} labels, not in budgets")

    def names(self) -> tuple[str, ...]:
        """Return every strategy, the trained one included."""
        return (*self.strategies, *([MEDSELECT] if self.selector else []))


@dataclass(frozen=True)
class OtherLines:
    """What stands beside few labels: none, all, and all without a pixel.

    Parameters
    ----------
    pairs
        Pairs of encoders whose scores are averaged, for zero-shot detection; none for no line.
        Vectors of a pair that the collection holds are used.
    reports
        Whether labels read from reports teach the readers, where there are reports.
    encoder
        What full supervision starts from: the run or weights that made the embedding. None
        leaves out all that trains a network.
    full
        Inputs of each fully supervised network.
    recipe, changes
        Of `hilum.train`, for those networks.
    floors
        Inputs of each model without pixels.
    floor_kind
        A key of `hilum.tabular.KINDS`.
    networks
        Trainings of each network, with seeds 0, 1, ...
    """

    pairs: tuple[str, ...] = ()
    reports: bool = True
    encoder: str | None = None
    full: tuple[tuple[str, ...], ...] = INPUTS
    recipe: str = "modern-small"
    changes: Mapping[str, Any] = field(default_factory=dict)
    floors: tuple[tuple[str, ...], ...] = FLOORS
    floor_kind: str = "logistic"
    networks: int = 1

    def __post_init__(self) -> None:
        if self.networks < 1:
            raise UsageError(f"networks must be 1 or more, got {self.networks}")
        for inputs in self.full:
            if "image" not in inputs:
                raise UsageError(f"full supervision sees the image; got inputs {list(inputs)}")
        for inputs in self.floors:
            if "image" in inputs:
                raise UsageError("a model without pixels cannot have the image as input")


@dataclass(frozen=True)
class Measuring:
    """How everything is measured.

    Parameters
    ----------
    findings
        Which; all but No Finding if None.
    fewest
        Test images with a finding, and without it, that it needs, or it is left out.
    policy
        What uncertain labels count as, taught and measured.
    share
        Of what full supervision is above chance that labels are counted for.
    bootstrap, level
        Resamples of test patients, and coverage of intervals.
    """

    findings: tuple[str, ...] | None = None
    fewest: int = 5
    policy: Policy = "ignore"
    share: float = 0.9
    bootstrap: int = 1000
    level: float = 0.95

    def __post_init__(self) -> None:
        if self.policy == "keep":
            raise UsageError(
                "choose what an uncertain label counts as: ignore, positive or negative"
            )
        if self.fewest < 1:
            raise UsageError(f"fewest must be 1 or more, got {self.fewest}")
        if not 0 < self.share <= 1:
            raise UsageError(f"a share lies between 0 and 1, got {self.share}")
        if self.bootstrap < 0 or not 0 < self.level < 1:
            raise UsageError("bootstrap must be 0 or more and level between 0 and 1")


@dataclass(frozen=True)
class Design:
    """Everything that decides a frontier.

    Parameters
    ----------
    embedding
        Which vectors are selected from and read.
    few, others, measuring
        The parts.
    seed
        Of all that is drawn.
    """

    embedding: str
    few: FewLabels = FewLabels()
    others: OtherLines = OtherLines()
    measuring: Measuring = Measuring()
    seed: int = 0
