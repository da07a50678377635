"""The task of telling like from unlike: batches of so many findings with so many images each."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from hilum.encoders.device import own_random_numbers
from hilum.encoders.image import EncoderSpec, Projected, normalise, to_input
from hilum.training import views
from hilum.training.feed import Feed
from hilum.training.likeness import LikenessSettings, likeness_loss, spread
from hilum.training.metric_recipes import BatchSettings
from hilum.training.processes import gather_own
from hilum.training.task import Group, Task

Rows = NDArray[np.int64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Pupils:
    """What is learnt from.

    Parameters
    ----------
    feed
        Pixels by row number.
    positive : (images, findings)
        What each shows.
    members
        The images of each finding that batches are made of, by their row numbers.
    """

    feed: Feed
    positive: Flags
    members: Sequence[Rows]

    def __len__(self) -> int:
        return len(self.positive)


@dataclass(frozen=True)
class LikenessBatch:
    """One step's images, of this process, and what those of all processes show.

    Parameters
    ----------
    pixels : (n, side, side[, 3]) uint8
    view
        What is drawn for them; None leaves them as they are.
    positive : (n of all processes, findings) bool
    """

    pixels: Tensor
    view: views.View | None
    positive: Tensor


class MetricTask(Task):
    """The task of bringing like images together and others apart.

    Parameters
    ----------
    module
        Maps (n, channels, size, size) to (n, dim).
    spec
        What it expects.
    pupils
        What it learns from.
    likeness, sample, view
        What a mistake costs, what a batch is made of, how views of an image differ.
    backbone_rate
        The backbone's rate as a share of that of a projection and of proxies.
    seed
        Of the proxies' first place.
    """

    def __init__(
        self,
        module: nn.Module,
        spec: EncoderSpec,
        pupils: Pupils,
        likeness: LikenessSettings,
        sample: BatchSettings,
        view: views.ViewSettings,
        *,
        backbone_rate: float = 1.0,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.module = module
        self.spec = spec
        self.pupils = pupils
        self.likeness = likeness
        self.sample = sample
        self.view = view
        self.backbone_rate = backbone_rate
        self.distance: Tensor | None = None  # of the last step; watched while training goes on
        self.proxies: nn.Parameter | None = None
        if likeness.loss == "proxy-anchor":
            with own_random_numbers(seed):
                drawn = torch.randn(pupils.positive.shape[1], spec.dim)
            self.proxies = nn.Parameter(drawn)

    @property
    def examples(self) -> int:
        """The number of images."""
        return len(self.pupils)

    def groups(self) -> list[Group]:
        """Return the backbone's weights and the others; biases and scales do not decay."""
        backbone = self.module.backbone if isinstance(self.module, Projected) else self.module
        own = {id(weight) for weight in backbone.parameters()}
        kinds: dict[tuple[float, bool], list[nn.Parameter]] = {}
        for weight in self.parameters():
            factor = self.backbone_rate if id(weight) in own else 1.0
            kinds.setdefault((factor, weight.ndim > 1), []).append(weight)
        return [Group(weights, factor, decay) for (factor, decay), weights in kinds.items()]

    def batch(self, rows: Rows, rng: np.random.Generator, mine: slice) -> LikenessBatch:
        """Draw which images, whatever `rows` the loop proposes, and how they are seen."""
        rows = draw_rows(self.pupils.members, self.sample, len(self.pupils), rng)
        view = views.draw(rng, len(rows), self.view)
        pixels = self.pupils.feed(rows[mine])
        return LikenessBatch(
            pixels,
            None if self.view == views.ViewSettings() else view.take(mine),
            torch.from_numpy(self.pupils.positive[rows]).to(pixels.device),
        )

    def forward(self, batch: LikenessBatch) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the loss over the images of all processes, and how far apart they are."""
        vectors = self.module(self._see(batch))
        with torch.autocast(vectors.device.type, enabled=False):
            everyone = gather_own(vectors.float())
            loss = likeness_loss(self.likeness, everyone, batch.positive, self.proxies)
            numbers = spread(everyone, batch.positive, self.likeness.margin)
        self.distance = numbers["distance"]
        return loss, numbers

    def _see(self, batch: LikenessBatch) -> Tensor:
        """Return the images as drawn, (n, channels, size, size), normalised."""
        pixels = batch.pixels
        with torch.no_grad(), torch.autocast(pixels.device.type, enabled=False):
            if batch.view is None:
                return to_input(pixels, self.spec)
            return normalise(views.apply(pixels, batch.view, self.spec.size), self.spec)


def draw_rows(
    members: Sequence[Rows], sample: BatchSettings, images: int, rng: np.random.Generator
) -> Rows:
    """Draw a batch: some findings, and of each as many of its images, no image twice.

    Parameters
    ----------
    members
        The rows of each finding, `sample.each` or more.
    sample
        How many findings, and images of each.
    images
        How many there are, from which a batch is filled where findings share too many.
    rng
        What is drawn from.

    Returns
    -------
    (kinds * each,), finding after finding.
    """
    taken = np.zeros(images, np.bool_)
    parts = []
    for kind in rng.choice(len(members), sample.kinds, replace=False):
        free = members[kind][~taken[members[kind]]]
        part = rng.choice(free, min(sample.each, len(free)), replace=False)
        taken[part] = True
        parts.append(part)
    missing = sample.kinds * sample.each - int(taken.sum())
    parts.append(rng.choice(np.flatnonzero(~taken), missing, replace=False))
    return np.concatenate(parts)
