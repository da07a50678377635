"""Images with labels: the task of scoring findings, whole or with the backbone frozen."""

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from timm.models import group_parameters
from torch import Tensor, nn

from hilum.encoders.classifier import Classifier, ClassifierModule, ClassifierSpec
from hilum.encoders.device import Engine
from hilum.encoders.image import normalise, to_input
from hilum.training import views
from hilum.training.feed import Feed
from hilum.training.losses import Loss, LossSettings
from hilum.training.supervised_recipes import TeachSettings
from hilum.training.supervised_validation import score_feed
from hilum.training.synced import batch_norms
from hilum.training.task import Group, Task

Numbers = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Examples:
    """Images with what is known of them.

    Parameters
    ----------
    feed
        Pixels by row number.
    features : (images, columns)
        NaN is unknown; no columns where the image is all.
    targets : (images, findings)
        From 0 to 1; NaN is unknown.
    """

    feed: Feed
    features: Numbers
    targets: Numbers

    def __len__(self) -> int:
        return len(self.targets)


@dataclass(frozen=True)
class LabelBatch:
    """One step's images and labels, of this process.

    Parameters
    ----------
    pixels : (n, side, side) uint8 or (n, dim) float32
        The images, or their vectors where the backbone is frozen and sees them as they are.
    view
        What is drawn for them; None leaves them as they are.
    features : (n, columns)
        NaN is unknown or hidden.
    targets : (n, findings)
        NaN is unknown.
    counts : (findings,)
        Known labels of the whole step, as this process's share.
    """

    pixels: Tensor
    view: views.View | None
    features: Tensor
    targets: Tensor
    counts: Tensor


class SupervisedTask(Task):
    """The task of scoring findings.

    Parameters
    ----------
    module
        The classifier's network.
    spec
        What it expects.
    examples
        What it learns from.
    loss, teach, view
        What a mistake costs, how it is taught, and how views of an image differ.
    frozen
        Whether the backbone stays as it is in this stage.
    """

    def __init__(
        self,
        module: ClassifierModule,
        spec: ClassifierSpec,
        examples: Examples,
        loss: LossSettings,
        teach: TeachSettings,
        view: views.ViewSettings,
        *,
        frozen: bool = False,
    ) -> None:
        super().__init__()
        self.module = module
        self.spec = spec
        self.given = examples
        self.teach = teach
        self.view = view
        self.frozen = frozen
        self.chances = chances(examples.targets, teach.balanced) if teach.balanced else None
        self.loss = Loss(torch.from_numpy(self._frequency()), loss)
        self.vectors: Tensor | None = None
        self._groups = list(spec.groups.values())

    def _frequency(self) -> NDArray[np.float64]:
        """Return the share of positives among the labels that are drawn, (findings,)."""
        targets, chances = self.given.targets, self.chances
        weights = np.full(len(targets), 1 / len(targets)) if chances is None else chances
        known = ~np.isnan(targets)
        drawn = weights @ known
        found: NDArray[np.float64] = np.where(known, targets, 0).T @ weights / drawn
        return found

    @property
    def examples(self) -> int:
        """The number of images."""
        return len(self.given)

    def hold_vectors(self, engine: Engine) -> None:
        """Compute the frozen backbone's vectors of all images once, where views would be none."""
        if not self.frozen or self.view != views.ViewSettings():
            return
        classifier = Classifier(self.spec, self.module, engine)
        found = score_feed(classifier.encode, self.given.feed, None)
        self.vectors = torch.from_numpy(found).to(engine.device)

    def train(self, mode: bool = True) -> "SupervisedTask":
        """Switch to training; what shall keep its batch statistics does."""
        super().train(mode)
        if self.frozen:
            self.module.backbone.eval()
        elif self.teach.statistics == "kept":
            for layer in batch_norms(self.module.backbone):
                layer.eval()
        return self

    def groups(self) -> list[Group]:
        """Return the head's weights, and the backbone's at rates that fall with their depth.

        Weight decay reaches matrices and kernels, not biases and scales.
        """
        rest = [w for name, w in self.named_parameters() if not name.startswith("module.backbone.")]
        factors = [(weight, 1.0) for weight in rest]
        if not self.frozen:
            factors += _backbone_rates(self.module.backbone, self.teach)
        kinds: dict[tuple[float, bool], list[nn.Parameter]] = {}
        for weight, factor in factors:
            kinds.setdefault((factor, weight.ndim > 1), []).append(weight)
        return [Group(weights, factor, decay) for (factor, decay), weights in kinds.items()]

    def batch(self, rows: NDArray[np.int64], rng: np.random.Generator, mine: slice) -> LabelBatch:
        """Draw rows, views and what is hidden for all, and read this process's."""
        if self.chances is not None:
            rows = rng.choice(len(self.chances), size=len(rows), p=self.chances)
        view = views.draw(rng, len(rows), self.view)
        features = self.given.features[rows]
        hide(features, self._groups, self.teach.missing, rng)
        targets = self.given.targets[rows]
        own = rows[mine]
        counts = (~np.isnan(targets)).sum(axis=0) * (len(own) / len(rows))
        pixels = self.given.feed(own) if self.vectors is None else self._held(own)
        device = pixels.device
        return LabelBatch(
            pixels,
            None if self.view == views.ViewSettings() else view.take(mine),
            torch.from_numpy(features[mine]).to(device),
            torch.from_numpy(targets[mine]).to(device),
            torch.from_numpy(counts.astype(np.float32)).to(device),
        )

    def _held(self, rows: NDArray[np.int64]) -> Tensor:
        assert self.vectors is not None
        return self.vectors.index_select(0, torch.from_numpy(rows).to(self.vectors.device))

    def forward(self, batch: LabelBatch) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the loss of one step, and what the mix of image and numbers weighs."""
        vectors = batch.pixels
        if self.vectors is None:
            with torch.no_grad() if self.frozen else nullcontext():
                vectors = self.module.backbone(self._see(batch))
        found = self.module.decide(vectors, batch.features)
        loss = self.loss(found.logits, batch.targets, batch.counts)
        if found.mixed is None:
            return loss, {}
        image, numbers = found.mixed.shares.detach()
        scale = found.mixed.scale.detach().clone()
        return loss, {"weight_image": image, "weight_features": numbers, "mix_scale": scale}

    def _see(self, batch: LabelBatch) -> Tensor:
        """Return the images as drawn, (n, channels, size, size), normalised."""
        pixels, image = batch.pixels, self.spec.image
        with torch.no_grad(), torch.autocast(pixels.device.type, enabled=False):
            if batch.view is None:
                images = to_input(pixels, image)
            else:
                images = normalise(views.apply(pixels, batch.view, image.size), image)
        return images


def hide(
    features: Numbers, groups: Sequence[tuple[int, int]], share: float, rng: np.random.Generator
) -> None:
    """Make some inputs of some images unknown, in place; numbers are drawn in any case."""
    hidden = rng.random((len(features), len(groups))) < share
    for (start, stop), rows in zip(groups, hidden.T, strict=True):
        features[rows, start:stop] = np.nan


def chances(targets: Numbers, balanced: float) -> NDArray[np.float64]:
    """Return how likely each image is drawn: (images,), adding up to 1.

    Parameters
    ----------
    targets : (images, findings)
        NaN is unknown; each finding has a positive.
    balanced
        Share drawn by finding: one finding as likely as another, then one of its positives.
    """
    present = np.where(np.isnan(targets), 0.0, targets).astype(np.float64)
    by_finding = (present / present.sum(axis=0)).mean(axis=1)
    likely = (1 - balanced) / len(targets) + balanced * by_finding
    return np.asarray(likely / likely.sum(), dtype=np.float64)


def _backbone_rates(backbone: nn.Module, teach: TeachSettings) -> list[tuple[nn.Parameter, float]]:
    """Return the backbone's weights and what the rate of each is multiplied by."""
    matcher = backbone.group_matcher(coarse=True)  # type: ignore[operator]
    depth = group_parameters(backbone, matcher, reverse=True)  # name -> layer, 0 is the lowest
    top = max(depth.values())
    return [
        (weight, teach.backbone_rate * teach.layer_decay ** (top - depth[name]))
        for name, weight in backbone.named_parameters()
    ]
