"""Losses for retrieval: the published numbers, slow references, collapse, several findings."""

import math
from itertools import permutations

import pytest
import torch
from pytorch_metric_learning.losses import (
    MultiSimilarityLoss,
    ProxyAnchorLoss,
    SupConLoss,
    TripletMarginLoss,
)
from torch import Tensor
from torch.nn import functional

from hilum.errors import UsageError
from hilum.training.likeness import (
    PAIRS,
    LikenessSettings,
    likeness_loss,
    proxy_anchor,
    relations,
    spread,
)

POINTS = torch.tensor([(1, 0), (0.9, 0.3), (0.2, 1), (0, 1), (-0.3, 0.9), (0.8, 0.6)]).double()
CLASSES = torch.tensor([0, 0, 1, 1, 0, 1])
ONE_HOT = functional.one_hot(CLASSES, 2).bool()
LOSSES = (*PAIRS, "proxy-anchor")


def some(n: int = 12, dim: int = 5, kinds: int = 3, seed: int = 0) -> tuple[Tensor, Tensor]:
    drawn = torch.Generator().manual_seed(seed)
    vectors = torch.randn(n, dim, generator=drawn)
    return vectors, torch.randint(kinds, (n,), generator=drawn)


def loss_of(name: str, vectors: Tensor, positive: Tensor, proxies: Tensor | None = None) -> Tensor:
    proxies = torch.eye(positive.shape[1], vectors.shape[1]) if proxies is None else proxies
    return likeness_loss(LikenessSettings(loss=name), vectors, positive, proxies)  # type: ignore[arg-type]


def test_six_points_give_x_mirs_batch_all_loss() -> None:
    settings = LikenessSettings(loss="triplet", margin=0.2)
    assert float(likeness_loss(settings, POINTS, ONE_HOT)) == pytest.approx(0.71838633, abs=2e-7)
    numbers = spread(POINTS, ONE_HOT, 0.2)
    assert float(numbers["active"]) == pytest.approx(20 / 36)


def test_six_points_give_x_mirs_batch_hard_loss() -> None:
    settings = LikenessSettings(loss="triplet-hard", margin=0.2)
    assert float(likeness_loss(settings, POINTS, ONE_HOT)) == pytest.approx(0.98909870, abs=2e-7)


def test_batch_hard_averages_over_images_that_violate_nothing_too() -> None:
    vectors = torch.tensor([[1.0, 0], [1, 0], [-1, 0], [-1, 0], [0.8, 0.6]])
    positive = functional.one_hot(torch.tensor([0, 0, 1, 1, 1]), 2).bool()
    settings = LikenessSettings(loss="triplet-hard", margin=0.2)
    unit = functional.normalize(vectors, dim=1)
    near, far = float((unit[0] - unit[4]).norm()), float((unit[2] - unit[4]).norm())
    apart = [max(0, 0.2 - near)] * 2 + [far - 2 + 0.2] * 2 + [far - near + 0.2]
    assert float(likeness_loss(settings, vectors, positive)) == pytest.approx(sum(apart) / 5)


def test_batch_all_equals_the_loop_over_all_triplets() -> None:
    vectors, kinds = some()
    positive = torch.rand(12, 4, generator=torch.Generator().manual_seed(1)) < 0.35
    unit = functional.normalize(vectors, dim=1)
    shares = positive.float() @ positive.float().T > 0
    losses = [
        float((unit[i] - unit[j]).norm() - (unit[i] - unit[k]).norm()) + 0.2
        for i, j, k in permutations(range(12), 3)
        if shares[i, j] and not shares[i, k]
    ]
    active = [loss for loss in losses if loss > 1e-16]
    settings = LikenessSettings(loss="triplet", margin=0.2)
    expected = pytest.approx(sum(active) / len(active), rel=1e-5)
    assert float(likeness_loss(settings, vectors, positive)) == expected
    assert float(spread(vectors, positive, 0.2)["active"]) == pytest.approx(
        len(active) / len(losses)
    )
    assert len(kinds) == 12


@pytest.mark.parametrize(
    ("name", "theirs"),
    [
        ("multi-similarity", MultiSimilarityLoss(alpha=2, beta=50, base=0.5)),
        ("supcon", SupConLoss(temperature=0.1)),
    ],
)
def test_with_one_class_each_the_losses_are_the_librarys(
    name: str, theirs: torch.nn.Module
) -> None:
    vectors, kinds = some()
    ours = loss_of(name, vectors, functional.one_hot(kinds, 3).bool())
    assert float(ours) == pytest.approx(float(theirs(vectors, kinds)), rel=1e-6)


@pytest.mark.parametrize(
    ("settings", "theirs"),
    [
        (LikenessSettings("multi-similarity", alpha=3, beta=20, base=0.3),
         MultiSimilarityLoss(alpha=3, beta=20, base=0.3)),
        (LikenessSettings("supcon", temperature=0.5), SupConLoss(temperature=0.5)),
        (LikenessSettings("triplet", margin=0.7), TripletMarginLoss(margin=0.7)),
    ],
)  # fmt: skip
def test_the_losses_take_the_numbers_that_are_asked_for(
    settings: LikenessSettings, theirs: torch.nn.Module
) -> None:
    vectors, kinds = some()
    ours = likeness_loss(settings, vectors, functional.one_hot(kinds, 3).bool())
    assert float(ours) == pytest.approx(float(theirs(vectors, kinds)), rel=1e-6)


def test_batch_hard_asks_only_images_that_have_like_and_unlike() -> None:
    """The third shares a finding with each of the others, so nothing is unlike it."""
    vectors = torch.tensor([[1.0, 0], [0, 1], [0.6, 0.8], [0.8, 0.6]])
    positive = torch.tensor([[1, 0], [0, 1], [1, 1], [1, 0]]).bool()
    unit = vectors.double()

    def apart(one: int, other: int) -> float:
        return float((unit[one] - unit[other]).norm())

    hard = [(0, 2, 1), (1, 2, 3), (3, 0, 1)]  # anchor, farthest like, nearest unlike
    wanted = [max(0.0, apart(a, p) - apart(a, n) + 0.9) for a, p, n in hard]
    settings = LikenessSettings(loss="triplet-hard", margin=0.9)
    found = likeness_loss(settings, vectors, positive)
    assert float(found) == pytest.approx(sum(wanted) / 3, rel=1e-6)


def test_with_one_class_each_proxies_are_the_librarys() -> None:
    vectors, kinds = some()
    theirs = ProxyAnchorLoss(4, 5, margin=0.1, alpha=32)  # of one class there is no image
    positive = functional.one_hot(kinds, 4).bool()
    ours = proxy_anchor(vectors, positive, theirs.proxies.detach(), 0.1, 32)
    assert float(ours) == pytest.approx(theirs(vectors, kinds).item(), rel=1e-5)


def test_an_image_with_two_findings_is_drawn_to_both_proxies() -> None:
    proxies = torch.eye(3)
    vector = torch.tensor([[0.1, 0.1, 1.0]], requires_grad=True)
    loss = proxy_anchor(vector, torch.tensor([[True, True, False]]), proxies, 0.1, 4.0)
    torch.autograd.backward(loss)
    assert vector.grad is not None
    assert (vector.grad[0, :2] < 0).all()
    assert vector.grad[0, 2] > 0


def test_who_shares_a_finding_is_alike() -> None:
    positive = torch.tensor([[1, 1, 0], [0, 1, 0], [0, 0, 1], [0, 0, 0]]).bool()
    alike, unlike = relations(positive)
    assert alike.nonzero().tolist() == [[0, 1], [1, 0]]
    assert unlike[3].tolist() == [True, True, True, False]
    assert not (alike & unlike).any()


@pytest.mark.parametrize("name", LOSSES)
def test_loss_falls_as_kinds_move_apart(name: str) -> None:
    kinds = torch.tensor([0, 0, 1, 1, 2, 2])
    positive = functional.one_hot(kinds, 3).bool()
    apart = torch.eye(3)[kinds]
    mixed = apart[torch.tensor([0, 2, 4, 1, 3, 5])]
    assert loss_of(name, apart, positive) < loss_of(name, mixed, positive)


@pytest.mark.parametrize("name", LOSSES)
def test_length_of_vectors_does_not_count(name: str) -> None:
    vectors, kinds = some(seed=4)
    positive = functional.one_hot(kinds, 3).bool()
    longer = vectors * torch.arange(1, 13)[:, None]
    assert float(loss_of(name, vectors, positive)) == pytest.approx(
        float(loss_of(name, longer, positive)), rel=1e-4
    )


@pytest.mark.parametrize("name", LOSSES)
def test_equal_vectors_have_finite_gradients(name: str) -> None:
    vectors = torch.ones(6, 4, requires_grad=True)
    positive = functional.one_hot(torch.tensor([0, 0, 1, 1, 2, 2]), 3).bool()
    torch.autograd.backward(loss_of(name, vectors, positive))
    assert vectors.grad is not None
    assert vectors.grad.isfinite().all()


@pytest.mark.parametrize("name", PAIRS)
def test_a_batch_of_one_kind_or_none_teaches_nothing(name: str) -> None:
    vectors, _ = some(4)
    vectors.requires_grad_()
    nobody = loss_of(name, vectors, torch.zeros(4, 2, dtype=torch.bool))
    torch.autograd.backward(nobody)
    assert vectors.grad is not None
    assert vectors.grad.isfinite().all()


def test_collapse_shows_in_the_distance() -> None:
    positive = functional.one_hot(torch.tensor([0, 0, 1, 1]), 2).bool()
    assert float(spread(torch.ones(4, 3), positive, 0.2)["distance"]) == pytest.approx(0, abs=1e-3)
    corners = torch.tensor([[1.0, 0], [1, 0], [0, 1], [0, 1]])
    expected = 8 * math.sqrt(2) / 12
    assert float(spread(corners, positive, 0.2)["distance"]) == pytest.approx(expected)


def test_unknown_losses_and_impossible_numbers_are_refused() -> None:
    with pytest.raises(UsageError, match="'arcface' is not a loss for likeness; choose from tri"):
        LikenessSettings(loss="arcface")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="margin must be positive; got 0"):
        LikenessSettings(margin=0)
