"""CheXzero's zero-shot procedure as its specification describes it: slow, one image at a time."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from hilum.encoders import PairEncoder, tokenise
from hilum.encoders.image import to_input

Floats = NDArray[np.float64]


def text_weights(pair: PairEncoder, labels: Sequence[str], template: str) -> torch.Tensor:
    """Embed each label in a template, one text at a time: (dim, n_labels), columns of length 1."""
    columns = []
    for label in labels:
        tokens = torch.from_numpy(tokenise([template.format(label)], pair.spec.context))
        vectors = pair.module.text_features(tokens)
        vectors = vectors / vectors.norm(dim=-1, keepdim=True)
        mean = vectors.mean(dim=0)
        columns.append(mean / mean.norm())
    return torch.stack(columns, dim=1)


def cosines(pair: PairEncoder, films: NDArray[np.uint8], weights: torch.Tensor) -> Floats:
    """Encode one image after another and compare it with every text."""
    rows = []
    for film in films:
        image = to_input(torch.from_numpy(film[None]), pair.spec.image)
        feature = pair.module.image_features(image)
        feature = feature / feature.norm(dim=-1, keepdim=True)
        rows.append((feature @ weights).squeeze(0).double().numpy())
    return np.stack(rows)


def chexzero_scores(
    pair: PairEncoder,
    films: NDArray[np.uint8],
    labels: Sequence[str],
    templates: tuple[str, str] = ("{}", "no {}"),
) -> Floats:
    """Return the probabilities of one model: two passes over the images, one per template."""
    with torch.no_grad():
        present, absent = (cosines(pair, films, text_weights(pair, labels, t)) for t in templates)
    out: Floats = np.exp(present) / (np.exp(present) + np.exp(absent))
    return out


def chexzero_classes(
    pair: PairEncoder, films: NDArray[np.uint8], labels: Sequence[str], template: str
) -> Floats:
    """Return the scores without softmax: z-scores over the labels, through the sigmoid."""
    with torch.no_grad():
        logits = cosines(pair, films, text_weights(pair, labels, template))
    rows = [1 / (1 + np.exp(-(row - row.mean()) / row.std())) for row in logits]
    return np.stack(rows)
