"""A trained classifier: a backbone, what is known of the patient, and one score per finding.

As with an `Encoder`, all that it expects travels with the weights as its spec; a fingerprint
covers both. Its backbone is an encoder (`Classifier.encoder`), so images can be embedded, chosen
and retrieved with it.
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any, Final, NamedTuple, final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from hilum.encoders.device import Engine, choose_engine, own_random_numbers
from hilum.encoders.fusion import Fusion, HeadSettings, Mixed, dense_head
from hilum.encoders.image import (
    Encoder,
    EncoderSpec,
    Pooling,
    check_pixels,
    to_input,
)
from hilum.encoders.tensors import digest
from hilum.errors import UsageError
from hilum.findings import Policy

IMAGE: Final = "image"
LOOKS: Final = (1, 5)
CORNER: Final = 0.92  # side of a look into a corner, as a share of the image's


@dataclass(frozen=True)
class ClassifierSpec:
    """What a classifier is and what it expects.

    Parameters
    ----------
    image
        What its backbone expects of an image.
    findings
        What it scores.
    inputs
        ``"image"``, and names of `hilum.features.INPUTS`.
    features
        Names of the numbers about an image, in order: the columns of those inputs.
    groups
        Where the columns of each input are: from, to.
    past
        The findings whose earlier labels the inputs tell.
    policy
        What an uncertain earlier label counts as.
    head
        What comes after the backbone.
    missing
        How often each input beside the image was hidden in training; where it is above 0, the
        classifier works without them.
    looks
        Over how many looks at an image scores are averaged: 1, or 5 (the whole and four corners).
    """

    image: EncoderSpec
    findings: tuple[str, ...]
    inputs: tuple[str, ...] = (IMAGE,)
    features: tuple[str, ...] = ()
    groups: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    past: tuple[str, ...] = ()
    policy: Policy = "ignore"
    head: HeadSettings = field(default_factory=HeadSettings)
    missing: float = 0.0
    looks: int = 1

    def __post_init__(self) -> None:
        if not self.findings or len(set(self.findings)) < len(self.findings):
            raise UsageError(
                f"a classifier scores different findings, one at least: {self.findings}"
            )
        if IMAGE not in self.inputs or set(self.inputs) - {IMAGE} != set(self.groups):
            raise UsageError(
                f"a classifier's inputs are image and those of its features; got "
                f"{', '.join(self.inputs) or 'none'} and {', '.join(self.groups) or 'none'}"
            )
        if self.looks not in LOOKS:
            raise UsageError(f"looks at an image are 1 or 5; got {self.looks}")

    @property
    def pooling(self) -> Pooling:
        """How the last feature map becomes a vector."""
        return self.image.pooling

    @property
    def hidden(self) -> tuple[int, ...]:
        """Widths of the dense layers before the outputs."""
        return self.head.hidden

    @property
    def dropout(self) -> float:
        """Share of numbers that were dropped between them in training."""
        return self.head.dropout

    @property
    def feature_inputs(self) -> tuple[str, ...]:
        """The inputs beside the image."""
        return tuple(name for name in self.inputs if name != IMAGE)

    def as_dict(self) -> dict[str, Any]:
        """Return the fields as plain JSON types."""
        plain = {name: list(value) if isinstance(value, tuple) else value
                 for name, value in vars(self).items()}  # fmt: skip
        plain["image"] = self.image.as_dict()
        plain["groups"] = {name: list(ends) for name, ends in self.groups.items()}
        plain["head"] = {**asdict(self.head), "hidden": list(self.head.hidden)}
        return plain


class Decision(NamedTuple):
    """What a classifier's module says of some images.

    Parameters
    ----------
    logits : (n, findings)
    mixed
        How the image and the numbers were mixed; None where there is the image alone.
    """

    logits: Tensor
    mixed: Mixed | None


class ClassifierModule(nn.Module):
    """The network: `backbone` (timm's), `fusion` where there are features, `head`.

    Parameters
    ----------
    spec
        What it is.
    backbone
        Maps (n, channels, size, size) to (n, dim).
    seed
        Of the other layers' random weights; the process's random state is left as it was.
    """

    def __init__(self, spec: ClassifierSpec, backbone: nn.Module, *, seed: int = 0) -> None:
        super().__init__()
        self.backbone = backbone
        dim = spec.image.dim
        self.fusion: Fusion | None = None
        with own_random_numbers(seed):
            if spec.groups:
                self.fusion = Fusion(dim, spec.groups, spec.head)
                dim = spec.head.width
            self.head = dense_head(dim, len(spec.findings), spec.head)

    def forward(self, images: Tensor, features: Tensor | None = None) -> Tensor:
        """Map normalised images (n, channels, size, size) to logits (n, findings).

        Parameters
        ----------
        features : (n, columns) float32
            NaN is unknown; all of it if not given.
        """
        return self.decide(self.backbone(images), features).logits

    def decide(self, vectors: Tensor, features: Tensor | None = None) -> Decision:
        """Say the same of the backbone's vectors, (n, dim)."""
        if self.fusion is None:
            return Decision(self.head(vectors), None)
        if features is None:
            columns = len(self.fusion.input.mean)
            features = vectors.new_full((len(vectors), columns), torch.nan, dtype=torch.float32)
        mixed: Mixed = self.fusion(vectors, features)
        return Decision(self.head(mixed.vector), mixed)


@final
class Classifier:
    """A classifier's network in evaluation mode with its spec, on a device.

    Parameters
    ----------
    spec
        What the module expects.
    module
        The network.
    engine
        Where and in which precision it runs; chosen for this machine if not given.
    notes
        Of findings: what a reader of their scores must know.
    """

    def __init__(
        self,
        spec: ClassifierSpec,
        module: ClassifierModule,
        engine: Engine | None = None,
        notes: Mapping[str, str] | None = None,
    ) -> None:
        self.spec = spec
        self.engine = engine or choose_engine()
        self.module = module.to(self.engine.device, memory_format=self.engine.memory_format)  # type: ignore[call-overload]
        self.module.eval()
        self.notes = dict(notes or {})

    def __repr__(self) -> str:
        image = self.spec.image
        return (
            f"Classifier({image.architecture}, {image.size} px, {len(self.spec.findings)} "
            f"findings from {', '.join(self.spec.inputs)}, {self.fingerprint[:12]})"
        )

    @cached_property
    def fingerprint(self) -> str:
        """sha256 (hex) over the spec and the weights in name order."""
        return digest(self.module.state_dict(), self.spec.as_dict())

    def logits(
        self, pixels: NDArray[np.uint8], features: NDArray[np.float32] | None = None
    ) -> NDArray[np.float32]:
        """Return log odds as the network sees them, (n, findings) float32, from one look.

        Parameters
        ----------
        pixels : (n, side, side) or (n, side, side, 3) uint8
            Square images of any side, grey or RGB; other sides than the spec's are resized.
        features : (n, columns) float32
            The spec's features (`hilum.features.features_of`); NaN is unknown. A classifier that
            was trained to do without them may be given none.

        Raises
        ------
        UsageError
            If an array is not of this kind.
        """
        rows = self._check(pixels, features)
        with torch.inference_mode():
            return self.see(torch.from_numpy(pixels), rows).cpu().numpy()

    def scores(
        self,
        pixels: NDArray[np.uint8],
        features: NDArray[np.float32] | None = None,
        *,
        looks: int | None = None,
    ) -> NDArray[np.float32]:
        """Return one score of 0 to 1 per image and finding; parameters as in `logits`.

        Parameters
        ----------
        looks
            Over how many looks it is averaged, as in the spec if not given.
        """
        rows = self._check(pixels, features)
        with torch.inference_mode():
            return self.look(torch.from_numpy(pixels), rows, looks).cpu().numpy()

    def look(
        self, pixels: Tensor, features: Tensor | None = None, looks: int | None = None
    ) -> Tensor:
        """Map (n, side, side[, 3]) uint8 on any device to scores, averaged over looks."""
        looks = self.spec.looks if looks is None else looks
        if looks not in LOOKS:
            raise UsageError(f"looks at an image are 1 or 5; got {looks}")
        views = corners(pixels) if looks > 1 else [pixels]
        return torch.stack([self.see(view, features).sigmoid() for view in views]).mean(dim=0)

    def see(self, pixels: Tensor, features: Tensor | None = None) -> Tensor:
        """Map (n, side, side[, 3]) uint8 on any device to (n, findings) float32 logits."""
        return self._run(self.module, self._input(pixels), features)

    def encode(self, pixels: Tensor, _: Tensor | None = None) -> Tensor:
        """Map (n, side, side[, 3]) uint8 on any device to the backbone's (n, dim) float32."""
        return self._run(self.module.backbone, self._input(pixels))

    def decide(self, vectors: Tensor, features: Tensor | None = None) -> Tensor:
        """Map the backbone's (n, dim) to (n, findings) float32 logits, as `see` does."""
        return self._run(lambda *given: self.module.decide(*given).logits, vectors, features)

    def _input(self, pixels: Tensor) -> Tensor:
        images = to_input(pixels.to(self.engine.device, non_blocking=True), self.spec.image)
        return images.contiguous(memory_format=self.engine.memory_format)

    def _run(
        self, part: Callable[..., Tensor], given: Tensor, features: Tensor | None = None
    ) -> Tensor:
        told = () if features is None else (features.to(self.engine.device),)
        with self.engine.autocast():
            return part(given, *told).float()

    def encoder(self) -> Encoder:
        """Return the backbone as an encoder of images."""
        return Encoder(self.spec.image, self.module.backbone, self.engine)

    def _check(
        self, pixels: NDArray[np.uint8], features: NDArray[np.float32] | None
    ) -> Tensor | None:
        check_pixels(pixels)
        columns = len(self.spec.features)
        if features is None:
            if columns and not self.spec.missing:
                raise UsageError(
                    f"the classifier looks at {columns} features of "
                    f"{', '.join(self.spec.feature_inputs)} and never learnt to do without: give "
                    "them (hilum.features.features_of), or train it with missing above 0"
                )
            return None
        if features.shape != (len(pixels), columns):
            raise UsageError(
                f"expected {columns} features of each of {len(pixels)} images; got an array of "
                f"shape {features.shape}"
            )
        return torch.from_numpy(np.ascontiguousarray(features, dtype=np.float32))


def corners(pixels: Tensor) -> list[Tensor]:
    """Return five looks at images (n, side, side[, 3]): the whole, and into each corner."""
    side = pixels.shape[1]
    less = max(1, round(side * CORNER))
    first, last = slice(0, less), slice(side - less, side)
    pairs = [(rows, columns) for rows in (first, last) for columns in (first, last)]
    return [pixels, *(pixels[:, rows, columns] for rows, columns in pairs)]
