"""What is explained: a network whose outputs are the log odds of findings, whatever made it.

A trained classifier has an output for each finding. A pair of encoders has one for each pair of
sentences: the scaled difference of the cosines with "X" and "no X" is the log odds of its
zero-shot score. Everything else that maps images to one number per finding can be put in by hand.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from hilum.encoders import Encoder, EncoderSpec, PairEncoder, load_encoder
from hilum.encoders.classifier import Classifier
from hilum.encoders.classifier_file import CLASSIFIER_FILE, KIND, load_classifier
from hilum.encoders.device import choose_engine
from hilum.encoders.image import to_input
from hilum.encoders.tensors import read_header
from hilum.errors import UsageError
from hilum.findings import canonical

if TYPE_CHECKING:
    from hilum.collection import Collection
    from hilum.zeroshot.wordings import Given

Features = NDArray[np.float32]


@final
@dataclass(frozen=True, eq=False)
class Explained:
    """A network as the maps see it.

    Parameters
    ----------
    module
        What holds the layers, in evaluation mode.
    forward
        Maps normalised images (n, channels, size, size) and features (n, columns), or None, to
        logits (n, findings). It is called in float32.
    image
        What the network expects of an image.
    findings
        Names of the outputs.
    name, fingerprint
        What it is, in words, and sha256 over it.
    features
        Gives the numbers about the images of a view that the network looks at, (n, columns);
        None if it looks at the image alone.
    """

    module: nn.Module
    forward: Callable[[Tensor, Tensor | None], Tensor]
    image: EncoderSpec
    findings: tuple[str, ...]
    name: str
    fingerprint: str
    features: "Callable[[Collection], Features] | None" = None

    @property
    def device(self) -> torch.device:
        """Where it runs."""
        return next(self.module.parameters()).device

    def prepare(self, pixels: NDArray[np.uint8]) -> Tensor:
        """Return (n, side, side) uint8 as the network wants it, on its device."""
        return to_input(torch.from_numpy(pixels).to(self.device), self.image)

    def see(self, images: Tensor) -> Tensor:
        """Return the logits of prepared images of which nothing else is known."""
        return self.forward(images, None)

    def column(self, finding: str) -> int:
        """Return the output of a finding, in any of its spellings.

        Raises
        ------
        UsageError
            If it has none.
        """
        for known in (finding, canonical(finding) or finding):
            if known in self.findings:
                return self.findings.index(known)
        raise UsageError(
            f"{self.name} has no output for {finding!r}; it has {', '.join(self.findings)}"
        )


AnyModel = Explained | Classifier | PairEncoder | Encoder | str | Path
"""What can be explained: a network, or the file or run that holds it."""


def explained(
    model: AnyModel,
    findings: Sequence[str] | None = None,
    *,
    prompts: "Given | None" = None,
    device: str = "auto",
) -> Explained:
    """Make ready what is to be explained.

    Parameters
    ----------
    model
        A classifier or a pair of encoders, or the run or file of one.
    findings
        What a pair is asked for; without use for a classifier, which has its own.
    prompts
        Wordings of one's own for a pair (`hilum.zeroshot`).
    device
        For a model that is loaded here.

    Raises
    ------
    WeightsError
        If it cannot be loaded.
    UsageError
        If it gives vectors alone, or a pair is asked for nothing.
    """
    if isinstance(model, str | Path):
        model = _load(model, device)
    if isinstance(model, Explained):
        return model
    if isinstance(model, Classifier):
        return _of_classifier(model)
    if isinstance(model, PairEncoder):
        return _of_pair(model, findings, prompts)
    raise UsageError(
        f"{model!r} gives a vector and no score for a finding, so there is nothing to explain; "
        "give a classifier (hilum train), or a pair of encoders (hilum pretrain report)"
    )


def _load(ref: str | Path, device: str) -> Classifier | PairEncoder | Encoder:
    engine = choose_engine(device, "fp32")
    path = Path(ref)
    if path.is_dir() and (path / CLASSIFIER_FILE).is_file():
        path = path / CLASSIFIER_FILE
    if path.is_file() and read_header(path).get("kind") == KIND:
        return load_classifier(path, engine=engine)
    return load_encoder(ref, engine=engine)


def _of_classifier(model: Classifier) -> Explained:
    spec = model.spec

    def features(view: "Collection") -> Features:
        from hilum.features import features_of

        return features_of(view, spec.feature_inputs, spec.past, spec.policy).values

    return Explained(
        model.module, model.module, spec.image, spec.findings,
        f"classifier {spec.image.architecture}", model.fingerprint,
        features if spec.features else None,
    )  # fmt: skip


def _of_pair(
    pair: PairEncoder, findings: Sequence[str] | None, prompts: "Given | None"
) -> Explained:  # fmt: skip
    """Ask a pair: its output is scale × (cosine with "X" − cosine with "no X")."""
    from hilum.zeroshot.questions import make_question
    from hilum.zeroshot.sentences import encode_sentences
    from hilum.zeroshot.validation import first

    if not findings:
        raise UsageError("a pair of encoders has no findings of its own: say what to look for")
    question = make_question("hilum", findings, prompts)
    asked = tuple(choice.finding for choice in first(question.columns))  # refuses two wordings
    texts: NDArray[Any] = question.vectors(lambda said: encode_sentences(pair, said))
    sides = torch.from_numpy(texts[:, 0] - texts[:, 1]).to(next(pair.module.parameters()).device)

    def forward(images: Tensor, _: Tensor | None = None) -> Tensor:
        vectors = functional.normalize(pair.module.image_features(images), dim=-1)
        return pair.scale * (vectors @ sides.T)

    return Explained(
        pair.module, forward, pair.spec.image, asked,
        f"pair {pair.spec.architecture}", pair.fingerprint,
    )  # fmt: skip
