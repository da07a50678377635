"""Recipes for pretraining: every number that decides a result, under a name.

A recipe is data. `override` changes some of its numbers; the run stores what came out.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, is_dataclass, replace
from itertools import chain
from typing import TYPE_CHECKING, Any, TypeVar

from hilum.errors import UsageError
from hilum.training.moco import MocoSettings
from hilum.training.schedule import TrainSettings
from hilum.training.views import ViewSettings

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

R = TypeVar("R", bound="DataclassInstance")  # a recipe: numbers, and parts that are settings


@dataclass(frozen=True)
class MocoRecipe:
    """How to pretrain an image encoder without labels.

    Parameters
    ----------
    name
        What it is called.
    about
        Its source, its command, how long it takes and what to expect.
    architecture, size, channels, mean, std
        The encoder, as in `EncoderSpec`.
    init
        ``"random"``, or where to start from: ``timm:NAME``, a weights file or a run folder.
    margin
        Images are held at `margin` times `size`, so that crops are not enlarged much.
    moco, view, train
        The task, the views and the training.
    """

    name: str
    about: str
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

    def as_dict(self) -> dict[str, Any]:
        """Return every number as nested JSON types."""
        return asdict(self)


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


def check_validate(way: str, ways: Sequence[str]) -> None:
    """Raise UsageError unless `way` is one of the ways to validate that a recipe knows."""
    if way not in ways:
        raise UsageError(f"{way!r} is not a way to validate; choose from {', '.join(ways)}")


def find(recipe: str | R, known: Mapping[str, R]) -> R:
    """Return a recipe by name, or the recipe itself.

    Raises
    ------
    UsageError
        If there is none of this name.
    """
    if not isinstance(recipe, str):
        return recipe
    if recipe not in known:
        raise UsageError(f"{recipe!r} is not a recipe; choose from {', '.join(known)}")
    return known[recipe]


def override(recipe: R, changes: Mapping[str, Any]) -> R:
    """Return the recipe with some numbers changed, by the names of their fields.

    Names of a recipe and of its parts are all different, so no prefix is needed:
    ``override(recipe, {"steps": 100, "queue": 512, "rotate": 5})``. Giving `steps` takes away
    `epochs`, and the other way round; giving `channels` repeats or averages `mean` and `std`.

    Raises
    ------
    UsageError
        If there is no such field; the message lists them.
    """
    changes = dict(changes)
    values = {f.name: getattr(recipe, f.name) for f in fields(recipe)}
    parts: dict[str, Any] = {name: part for name, part in values.items() if is_dataclass(part)}
    own = [name for name in values if name not in (*parts, "name", "about")]
    names = {part: [f.name for f in fields(value)] for part, value in parts.items()}
    known = [*own, *chain.from_iterable(names.values())]
    unknown = [key for key in changes if key not in known]
    if unknown:
        raise UsageError(f"a recipe has no {unknown[0]!r}; it has {', '.join(known)}")
    for one, other in (("steps", "epochs"), ("epochs", "steps")):
        if one in changes:
            changes.setdefault(other, 0)
    if "channels" in changes:
        for key in ("mean", "std"):
            if values[key]:
                average = sum(values[key]) / len(values[key])
                changes.setdefault(key, (average,) * changes["channels"])
    for part, value in parts.items():
        chosen = {key: changes.pop(key) for key in names[part] if key in changes}
        changes[part] = replace(value, **chosen)
    return replace(recipe, **changes)
