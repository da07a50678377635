"""Recipes for learning from labels: every number that decides a result, under a name."""

from dataclasses import dataclass, field
from typing import Final, Literal, get_args

from hilum.encoders.fusion import HeadSettings
from hilum.errors import UsageError
from hilum.training.backbones import BackboneRecipe
from hilum.training.losses import LossSettings
from hilum.training.recipes import check_validate
from hilum.training.schedule import TrainSettings
from hilum.training.targets import Uncertain, uncertain_value
from hilum.training.views import ViewSettings

Validate = Literal["auroc", "loss", "none"]
Statistics = Literal["learnt", "kept"]


@dataclass(frozen=True)
class TeachSettings:
    """How a backbone and its head learn together.

    Parameters
    ----------
    frozen
        Keep the backbone as it is, its batch statistics too, and teach the rest. Without views
        its vectors are computed once.
    thaw_epochs, thaw_lr
        After a frozen stage has ended, go on from its best weights with nothing frozen, so long
        and with this highest rate; 0 epochs is no second stage.
    backbone_rate
        The backbone's learning rate as a share of the head's.
    layer_decay
        What each layer's rate is of that of the layer above it.
    statistics
        Batch statistics of the backbone while it learns: ``"learnt"`` from the images of all
        processes together, or ``"kept"`` as they were.
    balanced
        Share of a batch drawn by finding instead of by image: a finding first, each as likely,
        then one of its positive images. Losses know the frequencies that this makes.
    missing
        How often each input beside the image is hidden from an image in training, so that the
        classifier works without it.
    """

    frozen: bool = False
    thaw_epochs: float = 0.0
    thaw_lr: float = 1e-5
    backbone_rate: float = 1.0
    layer_decay: float = 1.0
    statistics: Statistics = "learnt"
    balanced: float = 0.0
    missing: float = 0.0

    def __post_init__(self) -> None:
        if self.statistics not in get_args(Statistics):
            raise UsageError(
                f"statistics {self.statistics!r} is not known; choose from "
                f"{', '.join(get_args(Statistics))}"
            )
        for name in ("backbone_rate", "layer_decay", "balanced"):
            if not 0 <= getattr(self, name) <= 1:
                raise UsageError(f"{name} is a share, 0 to 1; got {getattr(self, name)}")
        if not 0 <= self.missing < 1:
            raise UsageError(f"missing must be at least 0 and below 1; got {self.missing}")
        if self.thaw_epochs < 0 or (self.thaw_epochs and not self.frozen):
            raise UsageError(
                f"thaw_epochs follow a frozen stage; got thaw_epochs={self.thaw_epochs}, "
                f"frozen={self.frozen}"
            )


@dataclass(frozen=True)
class SupervisedRecipe(BackboneRecipe):
    """How to teach a classifier from labels.

    Parameters
    ----------
    name, about, architecture, init, size, channels, mean, std, pooling
        As in `BackboneRecipe`.
    margin
        Images are held at `margin` times `size`, so that crops are not enlarged much.
    uncertain
        What an uncertain label counts as: ``"ignore"``, ``"positive"``, ``"negative"`` or a
        number from 0 to 1.
    validate
        What decides which weights are kept and when to stop: the mean ``"auroc"`` of the
        validation images, their ``"loss"``, or ``"none"``, the last. It is measured once an epoch
        where `evaluate_every` is 0.
    looks
        Looks at an image over which scores are averaged: 1 or 5.
    head, cost, teach, view, train
        The layers after the backbone, the loss, how it is taught, the views of the images, and
        the training.
    """

    margin: float = 4 / 3
    uncertain: Uncertain = "ignore"
    validate: Validate = "auroc"
    looks: int = 1
    head: HeadSettings = field(default_factory=HeadSettings)
    cost: LossSettings = field(default_factory=LossSettings)
    teach: TeachSettings = field(default_factory=TeachSettings)
    view: ViewSettings = field(default_factory=ViewSettings)
    train: TrainSettings = field(default_factory=lambda: TrainSettings(epochs=10))

    def __post_init__(self) -> None:
        check_validate(self.validate, get_args(Validate))
        uncertain_value(self.uncertain)

    @property
    def stored(self) -> int:
        """The side in pixels at which images are held for training."""
        return round(self.size * self.margin)


MILD: Final = ViewSettings(
    crop=(0.8, 1.0), aspect=1.1, rotate=7, brightness=0.1, contrast=0.2, gamma=1.2, tone=0.8,
    noise=0.02,
)  # fmt: skip
"""Views as another technician might have made them; none exchanges left and right."""

SUPERVISED_RECIPES: Final[dict[str, SupervisedRecipe]] = {
    recipe.name: recipe
    for recipe in (
        SupervisedRecipe(
            name="nih-study",
            about=(
                "The NIH ChestX-ray8 study (CS109B), as its stored results show it: EfficientNet-"
                "B3 with ImageNet weights, frozen, pooled by the maximum; Dense 256, dropout 0.5, "
                "Dense 256, a sigmoid per finding; weighted loss; Adam 1e-4 until the validation "
                "loss has not fallen for five epochs; then ten epochs with nothing frozen, at a "
                "tenth of the rate. Batch size, activations and that last rate were not "
                "published. Command: hilum train COLLECTION RUN --recipe nih-study --inputs "
                "image,demographics,previous --set residual=study. Published, 224 px: mean AUROC "
                "on the official test set 0.576 (image), 0.707 (with demographics), 0.758 (and "
                "previous labels), 0.768 (and a residual path), its thresholds tuned on test and "
                "its validation split by images; patients are never split here. With "
                "pooling=avg it is the study's comparison of backbones."
            ),
            architecture="efficientnet_b3",
            init="timm:efficientnet_b3",
            size=224,
            pooling="max",
            margin=1.0,
            validate="loss",
            cost=LossSettings(loss="study"),
            teach=TeachSettings(frozen=True, thaw_epochs=10, thaw_lr=1e-5, statistics="kept"),
            train=TrainSettings(epochs=200, batch=32, lr=1e-4, schedule="constant",
                                optimiser="adam", weight_decay=0.0, patience=5,
                                checkpoint_every=1000),
        ),
        SupervisedRecipe(
            name="modern",
            about=(
                "For a GPU: a DenseNet-121 from ImageNet weights at 224 px, all of it taught, "
                "the backbone at a third of the head's rate. Command: hilum train COLLECTION RUN "
                "--recipe modern, on a collection ingested at 256 px. Fine-tuned so, others report "
                "a mean AUROC of 0.82 on the official test set of ChestX-ray14 from the image "
                "alone (Xiao et al., WACV 2023, arXiv:2210.12843). Not yet run here on all of it."
            ),
            architecture="densenet121",
            init="timm:densenet121",
            size=224,
            margin=256 / 224,
            looks=5,
            head=HeadSettings(hidden=(), dropout=0.2, activation="gelu", layer_norm=True,
                              mix="gate", residual="plain"),
            teach=TeachSettings(backbone_rate=0.3, layer_decay=0.8, missing=0.3),
            view=MILD,
            train=TrainSettings(epochs=15, batch=128, lr=5e-4, warm_up=0.05, optimiser="adamw",
                                weight_decay=1e-2, clip=5.0, checkpoint_every=500, ema=0.999),
        ),
        SupervisedRecipe(
            name="modern-small",
            about=(
                "For two cores: a ResNet-10 at 96 px, from random weights or from those of a "
                "moco-small run, minutes for ten thousand films. Command: hilum train COLLECTION "
                "RUN. What it gives: docs/choices.md."
            ),
            head=HeadSettings(hidden=(), dropout=0.2, width=64, activation="gelu", layer_norm=True,
                              mix="gate", residual="plain"),
            teach=TeachSettings(missing=0.3),
            view=MILD,
            train=TrainSettings(epochs=10, batch=64, lr=1e-3, warm_up=0.05, optimiser="adamw",
                                weight_decay=1e-2, clip=5.0, ema=0.99),
        ),
    )
}  # fmt: skip
