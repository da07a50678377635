"""Images and their reports: the task of finding, among many texts, what is true of an image.

Where there are several processes, or a batch is encoded in chunks, the loss is still that of the
whole batch: every image meets every text.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from hilum.encoders import PairModule, PairSpec, tokenise
from hilum.encoders.image import normalise, to_input
from hilum.encoders.text import END
from hilum.training import views
from hilum.training.cached import in_chunks
from hilum.training.contrastive import (
    ContrastSettings,
    found_first,
    sigmoid_loss,
    similarities,
    softmax_loss,
)
from hilum.training.duplicates import Mask, said, same
from hilum.training.feed import Feed
from hilum.training.processes import gather_own
from hilum.training.task import Task
from hilum.training.texts import Passage, Texts

LENGTHS: Final = 4  # groups of texts of like length


@dataclass(frozen=True)
class ReportBatch:
    """One step's images and texts.

    Parameters
    ----------
    pixels : (n, side, side) uint8
        This process's images.
    view
        What is drawn for them; None leaves them as they are.
    tokens : (n * texts, context) int64
        Their texts, those of one image after another.
    positives : (n of all processes, n of all processes * texts) bool
        [i, j]: text j is true of image i.
    """

    pixels: Tensor
    view: views.View | None
    tokens: Tensor
    positives: Tensor


class ReportTask(Task):
    """The contrastive task over a feed of pixels and their reports.

    Parameters
    ----------
    pair
        The two towers.
    spec
        What they expect.
    feed
        Pixels by row number.
    texts
        The reports of the same rows.
    settings, view
        The task, and how views of an image differ.
    """

    def __init__(
        self,
        pair: PairModule,
        spec: PairSpec,
        feed: Feed,
        texts: Texts,
        settings: ContrastSettings,
        view: views.ViewSettings,
    ) -> None:
        super().__init__()
        self.pair = pair
        self.spec = spec
        self.feed = feed
        self.texts = texts
        self.settings = settings
        self.view = view
        settings.start(pair.logit_scale, pair.logit_bias)
        pair.logit_bias.requires_grad_(settings.loss == "sigmoid")

    @property
    def examples(self) -> int:
        """The number of images."""
        return len(self.feed)

    def batch(self, rows: NDArray[np.int64], rng: np.random.Generator, mine: slice) -> ReportBatch:
        """Draw views and texts for all rows, and read this process's."""
        view = views.draw(rng, len(rows), self.view)
        each = self.settings.texts
        drawn = self.texts.draw(np.repeat(rows, each), rng)
        positives = self._positives(rows, drawn)
        of_mine = slice((mine.start or 0) * each, None if mine.stop is None else mine.stop * each)
        spoken = [passage.text for passage in drawn[of_mine]]
        tokens = torch.from_numpy(tokenise(spoken, self.spec.context, on_long="cut"))
        pixels = self.feed(rows[mine])
        return ReportBatch(
            pixels=pixels,
            view=None if self.view == views.ViewSettings() else view.take(mine),
            tokens=tokens.to(pixels.device),
            positives=torch.from_numpy(positives).to(pixels.device),
        )

    def _positives(self, rows: NDArray[np.int64], drawn: list[Passage]) -> Mask:
        """Say which text is true of which image: (images, texts)."""
        kind, least, each = self.settings.positives, self.settings.alike, self.settings.texts
        if kind == "own":
            return np.repeat(np.eye(len(rows), dtype=np.bool_), each, axis=1)
        told = [passage.codes for passage in drawn]
        if kind == "same":
            alike = same(told, self.texts.vocabulary, least)
            return np.logical_or.reduceat(alike, np.arange(0, len(told), each), axis=0)
        reports = [self.texts.whole[row].codes for row in rows]
        return said(reports, told, self.texts.vocabulary, least)

    def forward(self, batch: ReportBatch) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the loss of one step."""
        pair, chunk = self.pair, self.settings.chunk
        self.settings.limit(pair.logit_scale)
        images = in_chunks(self._image_features, self._see(batch), chunk, pair)
        texts = in_chunks(self._text_features, batch.tokens, chunk, pair)
        images, texts = gather_own(images), gather_own(texts)
        loss = self._loss(images, texts, batch.positives)
        with torch.no_grad():
            logits = similarities(images, texts, pair.logit_scale.exp())
            numbers = {
                "top1": found_first(logits, batch.positives),
                "positives": batch.positives.float().sum(dim=1).mean(),
                "scale": pair.logit_scale.exp(),
            }
        return loss, numbers

    def _loss(self, images: Tensor, texts: Tensor, positives: Tensor) -> Tensor:
        scale = self.pair.logit_scale.exp()
        if self.settings.loss == "sigmoid":
            return sigmoid_loss(images, texts, scale, self.pair.logit_bias, positives)
        return softmax_loss(images, texts, scale, positives)

    def _see(self, batch: ReportBatch) -> Tensor:
        """Return the images as drawn, (n, 1, size, size) in 0...1, or as they are."""
        if batch.view is None:
            return batch.pixels
        with torch.no_grad(), torch.autocast(batch.pixels.device.type, enabled=False):
            return views.apply(batch.pixels, batch.view, self.spec.size)

    def _image_features(self, seen: Tensor) -> Tensor:
        with torch.no_grad(), torch.autocast(seen.device.type, enabled=False):
            plain = seen.dtype == torch.uint8
            images = to_input(seen, self.spec.image) if plain else normalise(seen, self.spec.image)
        return _unit(self.pair.image_features(images))

    def _text_features(self, tokens: Tensor) -> Tensor:
        """Encode each different text once, and texts of like length together.

        A tower reads no padding that all of a group share. A GPU is quicker with one group: what
        it waits for there is the number of products, not their size.
        """
        different, place = torch.unique(tokens, dim=0, return_inverse=True)
        order = (different == END).int().argmax(dim=1).argsort()
        parts = torch.chunk(different[order], LENGTHS if tokens.device.type == "cpu" else 1)
        found = torch.cat([self.pair.text_features(part) for part in parts])
        return _unit(found[order.argsort()])[place]


def _unit(features: Tensor) -> Tensor:
    return functional.normalize(features.float(), dim=1)
