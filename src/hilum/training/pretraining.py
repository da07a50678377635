"""From pixels without labels to an encoder: a recipe, a feed, the loop, a weights file."""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import nn

from hilum.encoders.device import Engine, choose_engine
from hilum.encoders.image import (
    Encoder,
    EncoderSpec,
    build_module,
    check_channels,
    feature_dim,
)
from hilum.encoders.references import load_image, pretrained_module
from hilum.encoders.weights import FILE_NAME, save_encoder
from hilum.errors import UsageError
from hilum.progress import Progress, silent
from hilum.training.feed import Feed, feed_of
from hilum.training.loop import train
from hilum.training.moco import Moco
from hilum.training.moco_recipes import RECIPES, MocoRecipe
from hilum.training.processes import joined, wait_for_all
from hilum.training.recipes import find, override
from hilum.training.told import refuse_test_images

if TYPE_CHECKING:
    from hilum.collection import Collection


def pretrain(
    collection: "Collection",
    run: str | Path,
    recipe: str | MocoRecipe = "moco-small",
    *,
    device: str = "auto",
    progress: Progress = silent,
    **changes: Any,
) -> Encoder:
    """Pretrain an encoder on the images of a collection, without labels.

    Parameters
    ----------
    collection
        The images, usually those of the training patients:
        ``collection.where("split = 'train'")``.
    run
        A folder, new or of the same run, which is then taken up where it was left.
    recipe
        A name of `hilum.training.RECIPES`, or a recipe.
    device
        ``"auto"``, ``"cpu"``, ``"cuda"``. Start with ``torchrun`` to use several.
    changes
        Fields of the recipe to change, such as ``steps=500, size=128, queue=4096``.

    Returns
    -------
    The encoder, which is also in ``RUN/encoder.safetensors``.

    Raises
    ------
    UsageError, RunError, WeightsError
        If the recipe, the run or the weights to start from cannot be used.
    LeakError
        If an image is of the split ``test``.
    CollectionError
        If the collection has no pixels.
    """
    chosen = override(find(recipe, RECIPES), changes)
    engine = choose_engine(device, chosen.train.precision)
    length, side = len(collection), min(chosen.stored, collection.size or chosen.stored)
    if not length:
        raise UsageError(
            "there are no images to learn from; check the condition that chose them "
            "(hilum show lists the splits)"
        )
    check_channels(collection.settings.channels, chosen.channels)
    feed = feed_of(collection, side, engine.device, np.arange(length))
    table = collection.table(["image_id", "patient_id", "sha256", "split"])
    refuse_test_images(table["split"])
    shape = (side, *collection.settings.image_shape[2:])  # nothing more than the side if grey
    data = _digest([table["image_id"].to_list(), table["sha256"].to_list(), *shape])
    return _pretrain(feed, chosen, run, table["patient_id"].to_list(), data, engine, progress)


def _pretrain(
    feed: Feed,
    recipe: MocoRecipe,
    run: str | Path,
    owners: Sequence[Any],
    data: str,
    engine: Engine,
    progress: Progress,
) -> Encoder:
    module, spec = _start(recipe, len(feed))
    _, codes = np.unique(np.asarray(owners), return_inverse=True)
    task = Moco(
        module, spec, feed, recipe.moco, recipe.view,
        owners=codes.astype(np.int64), seed=recipe.train.seed,
    )  # fmt: skip
    settings = recipe.as_dict()
    about = {key: value for key, value in settings.items() if key not in ("train", "about")}
    about["data"] = data
    about["patients"] = _digest(codes.tolist())
    with joined(engine.device) as here:
        metrics = train(task, recipe.train, run, about=about, engine=engine, progress=progress)
        encoder = Encoder(spec, task.query_encoder, engine)
        if here.first:
            made = {key: metrics[key] for key in ("steps", "loss", "engine")}
            made |= {"images": len(feed), "data": data}
            save_encoder(encoder, Path(run) / FILE_NAME, recipe=settings, provenance=made)
        wait_for_all()
    return encoder


def _start(recipe: MocoRecipe, images: int) -> tuple[nn.Module, EncoderSpec]:
    """Make the backbone a run starts from."""
    init, size, channels = recipe.init, recipe.size, recipe.channels
    architecture = recipe.architecture
    if init == "random":
        module = build_module(architecture, size, channels, seed=recipe.train.seed)
    elif init.startswith("timm:"):
        found = init.removeprefix("timm:").partition(".")[0]
        _check_start(recipe, found, channels)
        module = pretrained_module(init.removeprefix("timm:"), size, channels)
    else:
        encoder = load_image(init, engine=choose_engine("cpu"))
        _check_start(recipe, encoder.spec.architecture, encoder.spec.channels)
        module = encoder.module
    spec = EncoderSpec(
        architecture=architecture,
        size=size,
        channels=channels,
        mean=recipe.mean,
        std=recipe.std,
        dim=feature_dim(module, size, channels),
        recipe=recipe.name,
        source=f"MoCo v2 on {images} images, from {'random weights' if init == 'random' else init}",
    )
    return module, spec


def _check_start(recipe: MocoRecipe, architecture: str, channels: int) -> None:
    if (architecture, channels) != (recipe.architecture, recipe.channels):
        raise UsageError(
            f"cannot start from {recipe.init}: it is a {architecture} with {channels} channels, "
            f"the recipe asks for a {recipe.architecture} with {recipe.channels}"
        )


def _digest(document: Any) -> str:
    return hashlib.sha256(json.dumps(document).encode()).hexdigest()
