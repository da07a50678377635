"""Recipes for learning from images and their reports: every number that decides a result."""

from dataclasses import dataclass, field
from typing import Final, Literal, get_args

from hilum.encoders.from_clip import CHEXZERO
from hilum.encoders.image import Resize
from hilum.training.contrastive import ContrastSettings
from hilum.training.recipes import Recipe, check_validate
from hilum.training.schedule import TrainSettings
from hilum.training.texts import TextSettings
from hilum.training.views import ViewSettings

Validate = Literal["retrieval", "zeroshot", "none"]
CLIP: Final = "open_clip:"


@dataclass(frozen=True)
class ReportRecipe(Recipe):
    """How to pretrain a pair of encoders on images and reports.

    Parameters
    ----------
    name, about
        As in `Recipe`.
    architecture
        A timm backbone, which gets a small text tower beside it, or ``open_clip:NAME``.
    init
        ``"random"``, or where to start from: a MoCo run or another image encoder, a pair,
        ``timm:NAME`` or ``open_clip:NAME:TAG``.
    size, channels, mean, std, resize
        What the image tower is fed, as in `EncoderSpec`. None is as in the weights to start from;
        a timm backbone with random weights then has one channel about 0.5 with 0.25.
    margin
        Images are held at `margin` times `size`, so that crops are not enlarged much.
    context
        Tokens of a text, start and end included; longer reports are cut.
    dim
        Length of the vectors of a small pair.
    text_width, text_layers, text_heads
        Of the small text tower.
    validate
        What decides which weights are kept: ``"retrieval"`` of reports by images and of images
        by reports, ``"zeroshot"``, the mean AUROC against the labels of the validation images,
        or ``"none"``, the last. Whoever chooses by labels has used labels.
    matching, words, view, train
        The task, the texts, the views of the images, and the training.
    """

    architecture: str = "resnet10t"
    init: str = "random"
    size: int = 96
    channels: int | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    resize: Resize = "antialiased"
    margin: float = 4 / 3
    context: int = 77
    dim: int = 128
    text_width: int = 128
    text_layers: int = 2
    text_heads: int = 4
    validate: Validate = "retrieval"
    matching: ContrastSettings = field(default_factory=ContrastSettings)
    words: TextSettings = field(default_factory=lambda: TextSettings(whole=1.0))
    view: ViewSettings = field(default_factory=ViewSettings)
    train: TrainSettings = field(default_factory=lambda: TrainSettings(epochs=20))

    def __post_init__(self) -> None:
        check_validate(self.validate, get_args(Validate))

    @property
    def stored(self) -> int:
        """The side in pixels at which images are held for training."""
        return round(self.size * self.margin)

    @property
    def small(self) -> bool:
        """Whether it is a timm backbone with a small text tower."""
        return not self.architecture.startswith(CLIP)


REPORT_RECIPES: Final[dict[str, ReportRecipe]] = {
    recipe.name: recipe
    for recipe in (
        ReportRecipe(
            name="reports-small",
            about=(
                "For a laptop: a ResNet-10 at 96 px beside a text tower of two layers, under ten "
                "minutes on two cores. Command: hilum pretrain report COLLECTION RUN. Four texts "
                "for one look at an image: mostly a sentence or two, which is how findings are "
                "asked for. A loss that stays at ln(2 x batch) has learnt nothing. What it gives: "
                "docs/choices.md."
            ),
            matching=ContrastSettings(texts=4),
            words=TextSettings(scattered=2.0, impression=1.0, whole=1.0, most=2),
            view=ViewSettings(crop=(0.8, 1.0), rotate=5, brightness=0.1, contrast=0.2, gamma=1.3,
                              tone=0.8, noise=0.02),
            train=TrainSettings(steps=800, batch=64, lr=1e-3, warm_up=0.05, optimiser="adamw",
                                weight_decay=1e-2, clip=5.0, evaluate_every=200),
        ),
        ReportRecipe(
            name="chexzero",
            about=(
                "CheXzero as published (Tiu et al., Nature Biomedical Engineering 2022): OpenAI's "
                "ViT-B/32 on 377,110 images of MIMIC-CXR and the impressions of their reports, "
                "with identical texts as negatives and no limit to the scale. Command: hilum "
                "pretrain report COLLECTION RUN --recipe chexzero, on a collection ingested at "
                "320 px; made for a GPU. As there, ten checkpoints are chosen by the AUROC of "
                "validation labels. Published result: mean AUROC 0.889 over five findings of the "
                "CheXpert test set. Images without an impression are left out, where the original "
                "has the words NO IMPRESSION."
            ),
            architecture="open_clip:ViT-B-32-quickgelu",
            init="open_clip:ViT-B-32-quickgelu:openai",
            size=224,
            channels=3,
            mean=CHEXZERO["mean"],
            std=CHEXZERO["std"],
            resize=CHEXZERO["resize"],
            margin=320 / 224,
            validate="zeroshot",
            matching=ContrastSettings(positives="own", most_scale=0),
            words=TextSettings(impression=1.0),
            train=TrainSettings(epochs=4, batch=64, lr=1e-4, schedule="constant", optimiser="sgd",
                                weight_decay=0.0, checkpoint_every=1000, evaluate_every=1000,
                                keep=10),
        ),
    )
}  # fmt: skip
