"""The selector: a network that looks at a whole pool and says which images to label.

A pool is a set. So the network has no order: it is permutation-equivariant, as induced set
attention is (Lee et al., Set Transformer, ICML 2019, arXiv:1810.00825), and takes pools of any size
at a cost that grows with the number of images, not with its square. Each image is described by
its embedding, standardised by the training images, and by where that lies among the pool's; the
budget is told to the network, so that one selector serves any.

MedSelect's own network, which reads the pool as a sequence, is `hilum.select.original`.
"""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor, nn

from hilum.encoders.tensors import read_tensors, write_tensors
from hilum.errors import UsageError, WeightsError
from hilum.select.beside import refuse_unknown, width_of

KIND: Final = "selector"


@dataclass(frozen=True)
class SelectorSpec:
    """What a selector is and where it comes from.

    Parameters
    ----------
    dim
        Of the embeddings.
    encoder
        Fingerprint of the encoder that made them; "" where it is not known.
    beside
        What it sees of an image beside its embedding: of ``age``, ``sex``, ``view``.
    width, heads, inducing, layers
        Of the network: size of a description, attention heads, inducing points, set layers.
    pool
        Images in the pools that it was trained on; larger pools are thinned to this.
    budgets
        Least and largest budget in training.
    recipe, findings, held_out, provenance
        How it was trained, on which findings, without which, and whatever else made it.
    """

    dim: int
    encoder: str = ""
    beside: tuple[str, ...] = ()
    width: int = 32
    heads: int = 2
    inducing: int = 16
    layers: int = 1
    pool: int = 1000
    budgets: tuple[int, int] = (5, 80)
    recipe: str = ""
    findings: tuple[str, ...] = ()
    held_out: tuple[str, ...] = ()
    provenance: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        refuse_unknown(self.beside)
        if self.dim < 1 or self.layers < 1 or self.inducing < 1 or self.width % self.heads:
            raise UsageError(
                "a selector needs a dimension, layers and inducing points of 1 or more and a "
                f"width that its heads divide; got dim={self.dim}, layers={self.layers}, "
                f"inducing={self.inducing}, width={self.width}, heads={self.heads}"
            )


class Attention(nn.Module):
    """Let each of some items look at others, then think: a multihead attention block."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(width, width)
        self.key_value = nn.Linear(width, 2 * width)
        self.out = nn.Linear(width, width)
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(2))
        self.think = nn.Sequential(
            nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width)
        )

    def forward(self, items: Tensor, others: Tensor) -> Tensor:
        """Return the items as they are after a look: (n_tasks, n_items, width)."""
        query = self._split(self.query(items))
        key, value = (self._split(part) for part in self.key_value(others).chunk(2, dim=-1))
        # written out: with few points and small heads the fused kernel is several times slower
        near = query @ key.transpose(-1, -2) / math.sqrt(query.shape[-1])
        seen = near.softmax(dim=-1) @ value
        joined = seen.transpose(1, 2).reshape(items.shape)
        items = self.norms[0](items + self.out(joined))
        out: Tensor = self.norms[1](items + self.think(items))
        return out

    def _split(self, values: Tensor) -> Tensor:
        """Return (n_tasks, heads, n, width / heads)."""
        return values.view(*values.shape[:2], self.heads, -1).transpose(1, 2)


class _SetLayer(nn.Module):
    """Induced set attention: a few learnt points look at the pool, the pool looks at them."""

    def __init__(self, width: int, heads: int, inducing: int) -> None:
        super().__init__()
        self.points = nn.Parameter(0.2 * torch.randn(1, inducing, width))
        self.gather = Attention(width, heads)
        self.tell = Attention(width, heads)

    def forward(self, items: Tensor) -> Tensor:
        points = self.gather(self.points.expand(len(items), -1, -1), items)
        out: Tensor = self.tell(items, points)
        return out


class SetSelector(nn.Module):
    """Give each image of a pool a logit; the highest are chosen.

    Parameters
    ----------
    spec
        What to build.
    seed
        Of the initial weights.
    """

    mean: Tensor
    scale: Tensor

    def __init__(self, spec: SelectorSpec, seed: int = 0) -> None:
        super().__init__()
        self.spec = spec
        self.register_buffer("mean", torch.zeros(spec.dim))
        self.register_buffer("scale", torch.ones(spec.dim))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.describe_one = nn.Linear(spec.dim, spec.width)
            self.describe_beside = (
                nn.Linear(width_of(spec.beside), spec.width, bias=False) if spec.beside else None
            )
            self.itself = nn.Linear(spec.width, spec.width)
            self.place = nn.Linear(spec.width, spec.width)
            self.budget = nn.Linear(2, spec.width)
            self.layers = nn.ModuleList(
                _SetLayer(spec.width, spec.heads, spec.inducing) for _ in range(spec.layers)
            )
            self.think = nn.Sequential(nn.Linear(spec.width, spec.width), nn.GELU())
            self.judge = nn.Linear(spec.width, 1)
        nn.init.zeros_(self.judge.weight)  # training starts from the random selection
        nn.init.zeros_(self.judge.bias)

    def standardise_by(self, unit: Tensor) -> None:
        """Take mean and scale from the training images' unit vectors (n_images, dim)."""
        self.mean.copy_(unit.mean(dim=0))
        self.scale.copy_(unit.std(dim=0) + 1e-4)

    def describe(self, unit: Tensor, beside: Tensor | None = None) -> Tensor:
        """Describe images by themselves.

        What an image is does not depend on its pool, so that all images of a step are described
        once, and the descriptions gathered.

        Parameters
        ----------
        unit : (..., dim)
            Embeddings of unit length.
        beside : (..., n)
            What `hilum.select.beside.columns` gives for the inputs of the spec; None if there are
            none.

        Returns
        -------
        (..., width)
        """
        return self.described(self.standardised(unit), beside)

    def described(self, standard: Tensor, beside: Tensor | None = None) -> Tensor:
        """Describe images whose embeddings are standardised already."""
        out: Tensor = self.describe_one(standard)
        if self.describe_beside is None:
            return out
        if beside is None:
            raise UsageError(
                f"this selector looks at {', '.join(self.spec.beside)} beside the embedding: give "
                "them with the images"
            )
        more: Tensor = self.describe_beside(beside)
        return out + more

    def standardised(self, unit: Tensor) -> Tensor:
        """Return unit vectors (..., dim) as `describe_one` takes them."""
        return (unit - self.mean) / self.scale

    def forward(self, described: Tensor, budget: Tensor) -> Tensor:
        """Judge pools.

        Parameters
        ----------
        described : (n_tasks, n_pool, width)
            As `describe` gives them.
        budget : (n_tasks,)
            How many images will be chosen from each.

        Returns
        -------
        Logits (n_tasks, n_pool).
        """
        variance, centre = torch.var_mean(described, dim=1, keepdim=True, correction=0)
        among = (described - centre) * (variance + 1e-5).rsqrt()
        items = self.itself(described) + self.place(among)
        sizes = torch.stack(
            [
                budget.to(items.dtype).log() - 3,
                torch.full_like(budget, described.shape[1], dtype=items.dtype).log() - 6,
            ],
            dim=-1,
        )
        items = items + self.budget(sizes)[:, None]
        for layer in self.layers:
            items = layer(items)
        out: Tensor = self.judge(self.think(items))[..., 0]
        return out


def gumbel_top_k(logits: Tensor, budget: int, samples: int, generator: torch.Generator) -> Tensor:
    """Draw ordered choices without replacement from the Plackett-Luce law of the logits.

    The top k of logits with independent Gumbel noise (Kool, van Hoof and Welling, ICML 2019).

    Returns
    -------
    (samples, n_tasks, budget) positions in the pool.
    """
    shape = (samples, *logits.shape)
    exponential = torch.empty(shape, device=logits.device).exponential_(generator=generator)
    return (logits - exponential.clamp(min=1e-30).log()).topk(budget, dim=-1).indices


def log_plackett_luce(logits: Tensor, picks: Tensor) -> Tensor:
    """Return the log-probability of ordered choices without replacement, exactly.

    The sum over picks of logit - logsumexp(logits of what is left) (Plackett, J R Stat Soc C
    24:193-202, 1975).

    Parameters
    ----------
    logits : (n_tasks, n_pool)
    picks : (samples, n_tasks, budget)
        Distinct positions.

    Returns
    -------
    (samples, n_tasks)
    """
    every = logits.expand(len(picks), *logits.shape)
    chosen = every.gather(2, picks)
    left = every.scatter(2, picks, -math.inf).logsumexp(dim=-1, keepdim=True)
    # from the last pick to the first, what is left grows by the pick itself
    total = torch.cat([left, chosen.flip(-1)], dim=-1).logcumsumexp(dim=-1)[..., 1:].flip(-1)
    return (chosen - total).sum(dim=-1)


def relaxed_top_k(logits: Tensor, budget: int, temperature: float) -> Tensor:
    """Return how much each image is chosen, from 0 to 1, adding up to the budget.

    A sigmoid of (logit - threshold) / temperature, the threshold such that the sum is right. It
    tends to the hard choice as the temperature falls. The gradient takes the threshold's
    dependence on the logits into account, by the implicit function theorem.

    Parameters
    ----------
    logits : (n_tasks, n_pool)
    budget
        Below n_pool.
    temperature
        Above 0.
    """
    with torch.no_grad():
        low = logits.min(dim=-1, keepdim=True).values - 20 * temperature
        high = logits.max(dim=-1, keepdim=True).values + 20 * temperature
        for _ in range(50):
            middle = (low + high) / 2
            many = torch.sigmoid((logits - middle) / temperature).sum(-1, keepdim=True) > budget
            low, high = torch.where(many, middle, low), torch.where(many, high, middle)
        threshold = (low + high) / 2
        share = torch.sigmoid((logits - threshold) / temperature)
        slope = share * (1 - share)
        slope = slope / slope.sum(dim=-1, keepdim=True).clamp(min=1e-12)
    threshold = threshold + ((logits - logits.detach()) * slope).sum(dim=-1, keepdim=True)
    return torch.sigmoid((logits - threshold) / temperature)


def save_selector(selector: SetSelector, path: str | Path) -> None:
    """Write a selector's weights and everything it expects to a ``.safetensors`` file."""
    header = {"kind": KIND, "spec": asdict(selector.spec)}
    write_tensors(Path(path), selector.state_dict(), header)


def load_selector(path: str | Path) -> SetSelector:
    """Read a selector.

    Raises
    ------
    WeightsError
        If the file is none, or its tensors are not those that its header promises.
    """
    path = Path(path)
    tensors, header = read_tensors(path)
    if not isinstance(header, dict) or header.get("kind") != KIND:
        raise WeightsError(
            f"{path}: not a selector; `hilum selector train` writes selector.safetensors"
        )
    try:
        spec = SelectorSpec(**{**header["spec"], **_tuples(header["spec"])})
        selector = SetSelector(spec)
        selector.load_state_dict(tensors)
    except (TypeError, KeyError, RuntimeError, UsageError) as error:
        raise WeightsError(f"{path}: a damaged selector: {error}") from error
    return selector.eval()


def _tuples(spec: Mapping[str, Any]) -> dict[str, tuple[Any, ...]]:
    return {name: tuple(spec[name]) for name in ("beside", "budgets", "findings", "held_out")}
