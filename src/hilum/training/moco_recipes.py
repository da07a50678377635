"""Recipes for pretraining without labels: MoCo's."""

from dataclasses import dataclass, field

from hilum.training.moco import MocoSettings
from hilum.training.recipes import Recipe
from hilum.training.schedule import TrainSettings
from hilum.training.views import ViewSettings


@dataclass(frozen=True)
class MocoRecipe(Recipe):
    """How to pretrain an image encoder without labels.

    Parameters
    ----------
    name, about
        As in `Recipe`.
    architecture, size, channels, mean, std
        The encoder, as in `EncoderSpec`.
    init
        ``"random"``, or where to start from: ``timm:NAME``, a weights file or a run folder.
    margin
        Images are held at `margin` times `size`, so that crops are not enlarged much.
    moco, view, train
        The task, the views and the training.
    """

    architecture: str = "resnet18"
    size: int = 96
    channels: int = 1
    mean: tuple[float, ...] = (0.5,)
    std: tuple[float, ...] = (0.25,)
    init: str = "random"
    margin: float = 4 / 3
    moco: MocoSettings = field(default_factory=MocoSettings)
    view: ViewSettings = field(default_factory=ViewSettings)
    train: TrainSettings = field(default_factory=lambda: TrainSettings(epochs=20))

    @property
    def stored(self) -> int:
        """The side in pixels at which images are held for training."""
        return round(self.size * self.margin)


RECIPES: dict[str, MocoRecipe] = {
    recipe.name: recipe
    for recipe in (
        MocoRecipe(
            name="moco-small",
            about=(
                "For a laptop: a ResNet-10 at 96 px, minutes on two cores for a thousand images "
                "(fewer epochs do for many more). Command: hilum pretrain moco COLLECTION RUN. A "
                "loss that stays at ln(2049) = 7.6 has learnt nothing. What it gives beside "
                "random weights, on the phantom and on real films: docs/tour.md."
            ),
            architecture="resnet10t",
            size=96,
            moco=MocoSettings(queue=2048, momentum=0.99, temperature=0.2, bn_splits=4,
                              spare_own=True),
            view=ViewSettings(crop=(0.3, 1.0), aspect=1.2, rotate=10, brightness=0.15,
                              contrast=0.3, gamma=1.5, curve=0.4, tone=0.8, noise=0.03, blur=1.0,
                              blurred=0.3),
            train=TrainSettings(epochs=40, batch=64, lr=1e-3, warm_up=0.05, optimiser="adamw",
                                weight_decay=1e-2, clip=5.0),
        ),
        MocoRecipe(
            name="moco-cxr",
            about=(
                "MoCo-CXR as published (Sowrirajan et al., MIDL 2021, arXiv:2010.05352; the "
                "ResNet-18 script r8w1n416): 20 epochs of CheXpert's 223,414 images from ImageNet "
                "weights. Command: hilum pretrain moco COLLECTION RUN --recipe moco-cxr, on a "
                "collection ingested at 320 px; made for a GPU. Published result: linear probe "
                "for pleural effusion with 0.1 % of labels AUROC 0.776 [0.735, 0.811] against "
                "0.683 from ImageNet. Our collections keep the whole film in the square, where "
                "the original crops the longer side."
            ),
            architecture="resnet18",
            size=320,
            channels=3,
            mean=(0.5020,) * 3,
            std=(0.085585,) * 3,
            init="timm:resnet18.tv_in1k",
            margin=1.0,
            moco=MocoSettings(queue=24576, momentum=0.999, temperature=0.2),
            view=ViewSettings(flip=0.5, rotate=10),
            train=TrainSettings(epochs=20, batch=16, lr=1e-4, schedule="step",
                                milestones=(0.6, 0.9), optimiser="adam", weight_decay=1e-4,
                                checkpoint_every=1000),
        ),
    )
}  # fmt: skip
