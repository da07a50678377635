"""Recipes for encoders by which like finds like: every number that decides a result, by name."""

from dataclasses import dataclass, field
from typing import Final, Literal, get_args

from hilum.errors import UsageError
from hilum.training.backbones import BackboneRecipe
from hilum.training.likeness import LikenessSettings
from hilum.training.recipes import check_validate
from hilum.training.schedule import TrainSettings
from hilum.training.supervised_recipes import MILD
from hilum.training.views import ViewSettings

Draw = Literal["classes", "findings"]
Validate = Literal["map", "none"]


@dataclass(frozen=True)
class BatchSettings:
    """What a batch is made of: `kinds` findings, and `each` images that have it.

    The findings are drawn without replacement, each as likely, and so are the images of each, anew
    in every step. X-MIR draws so too, but deals out an epoch: an image does not come again before
    its finding runs short of images, and the epoch ends with the rarest finding. Here there is no
    epoch; a step depends on its number alone, and all images of a frequent finding come in time.

    Parameters
    ----------
    kinds, each
        How many findings, and images of each. A finding with fewer images is left out.
    draw
        ``"classes"``: each image has one positive finding, its class (X-MIR). ``"findings"``: an
        image may have several, and two are alike if they share one; an image comes once into a
        batch, and where findings share so many images that they run out, others fill the batch.
    """

    kinds: int = 3
    each: int = 16
    draw: Draw = "findings"

    def __post_init__(self) -> None:
        if self.kinds < 2 or self.each < 2:
            raise UsageError(
                "a batch needs 2 kinds at least to tell apart and 2 images of each to bring "
                f"together; got kinds={self.kinds}, each={self.each}"
            )
        if self.draw not in get_args(Draw):
            raise UsageError(
                f"{self.draw!r} is not a way to draw; choose from {', '.join(get_args(Draw))}"
            )


@dataclass(frozen=True)
class MetricRecipe(BackboneRecipe):
    """How to teach an encoder that images of a kind are near each other.

    Parameters
    ----------
    name, about, architecture, init, size, channels, mean, std, pooling
        As in `BackboneRecipe`.
    projection
        Length of a linear layer after the pooled features; 0 is none.
    held
        Images are held at `held` times `size`, so that crops are not enlarged much.
    validate
        What decides which weights are kept: the ``"map"`` of the validation images (each looks
        for its like among those of other patients), or ``"none"``, the last. It is measured every
        twentieth of the run where `evaluate_every` is 0.
    collapse
        The smallest mean distance between the unit vectors of images that is accepted at the end:
        below it they are all the same to the encoder, and training is refused. 0 accepts all.
    backbone_rate
        The backbone's learning rate as a share of that of the projection and of the proxies.
    likeness, sample, view, train
        The loss, what a batch is made of, the views of the images, and the training, whose batch
        is `kinds` times `each`.
    """

    projection: int = 0
    held: float = 4 / 3
    validate: Validate = "map"
    collapse: float = 0.1
    backbone_rate: float = 1.0
    likeness: LikenessSettings = field(default_factory=LikenessSettings)
    sample: BatchSettings = field(default_factory=BatchSettings)
    view: ViewSettings = field(default_factory=ViewSettings)
    train: TrainSettings = field(default_factory=lambda: TrainSettings(steps=300, batch=48))

    def __post_init__(self) -> None:
        check_validate(self.validate, get_args(Validate))
        if self.projection < 0 or not 0 <= self.collapse < 2:
            raise UsageError(
                "projection is a length (0 is none) and collapse a distance between unit vectors "
                f"(0 to 2); got {self.projection} and {self.collapse}"
            )
        if not 0 < self.backbone_rate <= 1:
            raise UsageError(f"backbone_rate is a share, 0 to 1; got {self.backbone_rate}")
        whole = self.sample.kinds * self.sample.each
        if self.train.batch != whole:
            raise UsageError(
                f"a batch is kinds × each = {whole} images; got batch={self.train.batch}: give "
                "kinds and each instead"
            )

    @property
    def stored(self) -> int:
        """The side in pixels at which images are held for training."""
        return round(self.size * self.held)


METRIC_RECIPES: Final[dict[str, MetricRecipe]] = {
    recipe.name: recipe
    for recipe in (
        MetricRecipe(
            name="x-mir",
            about=(
                "X-MIR (Hu, Vasu and Hoogs, WACV 2022): a DenseNet-121 at 224 px, 3 classes × 16 "
                "images, every triplet that violates a margin of 0.2 in Euclidean distance between "
                "unit vectors, Adam 1e-4, the last weights; 620 steps are its 20 epochs of COVIDx. "
                "For chest X-rays it starts from CheXNet's weights (hilum convert --from chexnet, "
                "then --init), for skin from ImageNet's; --projection 256 is its embedding layer. "
                "Command: hilum metric COLLECTION RUN --recipe x-mir; made for a GPU. Its images "
                "are cropped to the centre 224 of 256 px; ours show all of the film."
            ),
            architecture="densenet121",
            init="timm:densenet121",
            size=224,
            held=1.0,
            validate="none",
            likeness=LikenessSettings(loss="triplet", margin=0.2),
            sample=BatchSettings(kinds=3, each=16, draw="classes"),
            view=ViewSettings(flip=0.5),
            train=TrainSettings(steps=620, batch=48, lr=1e-4, schedule="constant",
                                optimiser="adam", weight_decay=0.0),
        ),
        MetricRecipe(
            name="metric",
            about=(
                "For a GPU: a DenseNet-121 from ImageNet's weights at 224 px, X-MIR's loss (which "
                "was the best of those here on validation patients: docs/choices.md) with larger "
                "batches, views as another technician might have made them, a falling rate, the "
                "average of the weights, the best on validation patients. Command: hilum metric "
                "COLLECTION RUN --recipe metric. Not yet run here: there are no ImageNet weights "
                "and no GPU."
            ),
            architecture="densenet121",
            init="timm:densenet121",
            size=224,
            held=256 / 224,
            likeness=LikenessSettings(loss="triplet", margin=0.2),
            sample=BatchSettings(kinds=3, each=32),
            view=MILD,
            train=TrainSettings(steps=2000, batch=96, lr=3e-4, warm_up=0.05, optimiser="adamw",
                                weight_decay=1e-2, clip=5.0, ema=0.999),
        ),
        MetricRecipe(
            name="metric-small",
            about=(
                "For a laptop: a ResNet-10 at 96 px, from random weights or those of a moco-small "
                "run, some minutes on one core. Command: hilum metric COLLECTION RUN --init MOCO. "
                "What it gives: docs/choices.md."
            ),
            likeness=LikenessSettings(loss="triplet", margin=0.2),
            view=MILD,
            train=TrainSettings(steps=400, batch=48, lr=3e-3, warm_up=0.05, optimiser="adamw",
                                weight_decay=1e-2, clip=5.0, ema=0.99),
        ),
    )
}  # fmt: skip
