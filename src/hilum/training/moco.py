"""MoCo v2: an image must find its own other view among thousands.

He et al., CVPR 2020 (arXiv:1911.05722) and Chen et al. (arXiv:2003.04297), as MoCo-CXR uses
them on radiographs (Sowrirajan et al., MIDL 2021, arXiv:2010.05352). A query encoder learns; a
key encoder follows it slowly; keys of earlier batches wait in a queue and are the negatives.

What differs from MoCo-CXR's code, which needs several GPUs:

* *Batch statistics.* Query and key of an image must not be normalised among the same images, or
  the network can tell them by their statistics. MoCo shuffles the batch across GPUs. Here it is
  shuffled across processes where there are several; and in each process the key encoder runs in
  `bn_splits` groups of the shuffled batch, each normalised for itself.
* *Own keys.* In a collection smaller than the queue, an image's earlier keys are in the queue
  and MoCo pushes the image away from itself. With `spare_own` such keys are no negatives.
* *Positives from one patient* (MedAug, Vu et al., MLHC 2021, arXiv:2102.10663): with
  `same_patient`, the second view comes from another image of the patient.
"""

import copy
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from hilum.encoders.device import own_random_numbers
from hilum.encoders.image import EncoderSpec, normalise
from hilum.errors import UsageError
from hilum.training import views
from hilum.training.feed import Feed
from hilum.training.processes import gather, ranks
from hilum.training.task import Task


@dataclass(frozen=True)
class MocoSettings:
    """What defines the contrastive task.

    Parameters
    ----------
    queue
        Keys that wait as negatives (K).
    momentum
        Share of the key encoder that stays in each step (m).
    temperature
        Divides the cosines (T).
    projection
        Length of queries and keys.
    bn_splits
        Groups, normalised each for itself, in which a process runs the key encoder.
    same_patient
        Probability that the second view is of another image of the patient, if there is one.
    spare_own
        Whether keys of the same patient in the queue are left out of the negatives (of the same
        image, where patients are not known).
    """

    queue: int = 4096
    momentum: float = 0.99
    temperature: float = 0.2
    projection: int = 128
    bn_splits: int = 1
    same_patient: float = 0.0
    spare_own: bool = False

    def __post_init__(self) -> None:
        whole = {"queue": self.queue, "projection": self.projection, "bn_splits": self.bn_splits}
        for name, value in whole.items():
            if value < 1:
                raise UsageError(f"{name} must be at least 1; got {value}")
        for name, share in (("momentum", self.momentum), ("same_patient", self.same_patient)):
            if not 0 <= share <= 1:
                raise UsageError(f"{name} must be from 0 to 1; got {share}")
        if not self.temperature > 0:
            raise UsageError(f"temperature must be positive; got {self.temperature}")


@dataclass(frozen=True)
class PairBatch:
    """One step's images and numbers: two views of each image.

    Parameters
    ----------
    query, key : (n, side, side) uint8
        The images of this process's pairs; the same where no patient's other image is used.
    query_view, key_view
        What is drawn for each.
    owners : (n,) int64
        Whose image each is.
    order : (n of all processes,) int64
        How the key encoder's batch is shuffled.
    """

    query: Tensor
    key: Tensor
    query_view: views.View
    key_view: views.View
    owners: Tensor
    order: Tensor


class Moco(Task):
    """The contrastive task over a feed of pixels.

    Parameters
    ----------
    backbone
        Maps (n, channels, size, size) to (n, dim).
    spec
        What the backbone expects.
    feed
        Pixels by row number.
    settings, view
        The task, and how views differ.
    owners : (images,) int64
        A number per image, the same for images of one patient; each image its own if not given.
    seed
        Of the heads and of the first queue.
    """

    queue: Tensor  # (projection, queue): unit columns
    queue_owners: Tensor  # (queue,): -1 before the first key
    pointer: Tensor  # (): the next column to replace

    def __init__(
        self,
        backbone: nn.Module,
        spec: EncoderSpec,
        feed: Feed,
        settings: MocoSettings,
        view: views.ViewSettings,
        *,
        owners: NDArray[np.int64] | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.spec = spec
        self.settings = settings
        self.view = view
        self.feed = feed
        self.owners = np.arange(len(feed)) if owners is None else owners
        with own_random_numbers(seed):
            head = projection_head(spec.dim, settings.projection)
            queue = functional.normalize(torch.randn(settings.projection, settings.queue), dim=0)
        self.query_encoder, self.query_head = backbone, head
        self.key_encoder = copy.deepcopy(backbone).requires_grad_(False)
        self.key_head = copy.deepcopy(head).requires_grad_(False)
        self.register_buffer("queue", queue)
        self.register_buffer("queue_owners", torch.full((settings.queue,), -1))
        self.register_buffer("pointer", torch.zeros((), dtype=torch.int64))
        self._partners = Partners(self.owners)

    @property
    def examples(self) -> int:
        """The number of images."""
        return len(self.feed)

    def batch(self, rows: NDArray[np.int64], rng: np.random.Generator, mine: slice) -> PairBatch:
        """Draw views for all rows, and read this process's images."""
        if len(rows) > self.settings.queue:
            raise UsageError(
                f"a batch of {len(rows)} does not fit in a queue of {self.settings.queue}"
            )
        seconds = self._partners.draw(rows, rng, self.settings.same_patient)
        first, second = (views.draw(rng, len(rows), self.view) for _ in range(2))
        order = rng.permutation(len(rows))
        query = self.feed(rows[mine])
        same = np.array_equal(rows[mine], seconds[mine])
        return PairBatch(
            query=query,
            key=query if same else self.feed(seconds[mine]),
            query_view=first.take(mine),
            key_view=second.take(mine),
            owners=torch.from_numpy(self.owners[rows[mine]]).to(query.device),
            order=torch.from_numpy(order).to(query.device),
        )

    def forward(self, batch: PairBatch) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the loss of one step, and renew the queue."""
        queries = self._project(self.query_encoder, self.query_head,
                                self._see(batch.query, batch.query_view))  # fmt: skip
        with torch.no_grad():
            follow(self.key_encoder, self.query_encoder, self.settings.momentum)
            follow(self.key_head, self.query_head, self.settings.momentum)
            keys = self._keys(self._see(batch.key, batch.key_view), batch.order)
        spared = batch.owners[:, None] == self.queue_owners if self.settings.spare_own else None
        logits = contrast(queries, keys, self.queue, self.settings.temperature, spared)
        target = torch.zeros(len(logits), dtype=torch.int64, device=logits.device)
        loss = functional.cross_entropy(logits, target)
        self._enqueue(gather(keys), gather(batch.owners))
        with torch.no_grad():
            found = (logits[:, 0] >= logits[:, 1:].amax(dim=1)).float().mean()
        return loss, {"top1": found, "alignment": (queries * keys).sum(dim=1).mean().detach()}

    def _see(self, pixels: Tensor, view: views.View) -> Tensor:
        with torch.no_grad(), torch.autocast(pixels.device.type, enabled=False):
            return normalise(views.apply(pixels, view, self.spec.size), self.spec)

    def _project(self, encoder: nn.Module, head: nn.Module, images: Tensor) -> Tensor:
        return functional.normalize(head(encoder(images)).float(), dim=1)  # (n, projection)

    def _keys(self, images: Tensor, order: Tensor) -> Tensor:
        """Encode keys of a shuffled batch, in groups, and undo the shuffle: (n, projection)."""
        here = ranks()
        mine = here.share(len(order))
        shuffled = gather(images)[order][mine]
        groups = shuffled.chunk(self.settings.bn_splits)
        keys = [self._project(self.key_encoder, self.key_head, group) for group in groups]
        return gather(torch.cat(keys))[order.argsort()][mine]

    def _enqueue(self, keys: Tensor, owners: Tensor) -> None:
        columns = queue_columns(self.pointer, len(keys), self.settings.queue)
        self.queue[:, columns] = keys.T
        self.queue_owners[columns] = owners
        self.pointer.copy_((self.pointer + len(keys)) % self.settings.queue)


def projection_head(dim: int, out: int) -> nn.Sequential:
    """Return MoCo v2's head: linear, ReLU, linear."""
    return nn.Sequential(nn.Linear(dim, dim), nn.ReLU(), nn.Linear(dim, out))


@torch.no_grad()
def follow(key: nn.Module, query: nn.Module, momentum: float) -> None:
    """Move the key's weights towards the query's: key <- momentum key + (1 - momentum) query.

    Parameters only: running statistics of batch normalisation are not averaged, they evolve by
    the key encoder's own batches.
    """
    for slow, fast in zip(key.parameters(), query.parameters(), strict=True):
        slow.lerp_(fast, 1 - momentum)


def contrast(
    queries: Tensor, keys: Tensor, queue: Tensor, temperature: float, spared: Tensor | None = None
) -> Tensor:
    """Return cosines over temperature: (n, 1 + queue), the image's own key first.

    Parameters
    ----------
    queries, keys : (n, projection)
        Unit rows.
    queue : (projection, queue)
        Unit columns.
    spared : (n, queue) bool
        Negatives that do not count for a query.
    """
    with torch.autocast(queries.device.type, enabled=False):
        own = (queries * keys).sum(dim=1, keepdim=True)
        others = queries @ queue.clone()  # a copy: the queue is renewed before the backward pass
        if spared is not None:
            others = others.masked_fill(spared, -torch.inf)
        return torch.cat([own, others], dim=1) / temperature


def queue_columns(pointer: Tensor, n: int, length: int) -> Tensor:
    """Return the columns that n new keys replace: the oldest, going round at the end."""
    return (pointer + torch.arange(n, device=pointer.device)) % length


class Partners:
    """For each image, the other images of its owner.

    Parameters
    ----------
    owners : (images,) int64
        Whose each image is.
    """

    def __init__(self, owners: NDArray[np.int64]) -> None:
        _, group, counts = np.unique(owners, return_inverse=True, return_counts=True)
        self.sorted = np.argsort(group, kind="stable")  # images of one owner lie together
        start = np.cumsum(counts) - counts
        self.start, self.count = start[group], counts[group]
        self.place = np.empty(len(owners), np.int64)
        self.place[self.sorted] = np.arange(len(owners))

    def draw(
        self, rows: NDArray[np.int64], rng: np.random.Generator, probability: float
    ) -> NDArray[np.int64]:
        """Return for each row itself or, with `probability`, another image of its owner."""
        count, start = self.count[rows], self.start[rows]
        step = 1 + (rng.random(len(rows)) * (count - 1)).astype(np.int64)
        other = self.sorted[start + (self.place[rows] - start + step) % count]
        return np.where((rng.random(len(rows)) < probability) & (count > 1), other, rows)


def expected_at_random(queue: int) -> float:
    """Return the loss of vectors that carry nothing, where T is large: ln(K + 1)."""
    return float(np.log(queue + 1))
