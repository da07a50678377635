"""Losses: against slow references, by hand, and what every one of them must obey."""

import gzip
import math
from pathlib import Path
from typing import Any, get_args

import numpy as np
import polars as pl
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor

from hilum.errors import TableError, UsageError
from hilum.tables import Table
from hilum.training.losses import LOSSES, Loss, LossName, LossSettings
from hilum.training.targets import averaged, majority, targets_of
from reference_losses import SLOW, auc_margin, loss_slowly

NAN = math.nan
every_loss = pytest.mark.parametrize("name", LOSSES)
seeds = st.integers(0, 2**32 - 1)


def some(seed: int, n: int = 12, k: int = 3, *, unknown: bool = True) -> tuple[Tensor, Tensor]:
    """Return logits and targets with both classes of every finding."""
    rng = np.random.default_rng(seed)
    targets = rng.integers(0, 2, (n, k)).astype(float)
    targets[0], targets[1] = 1, 0
    if unknown:
        targets[2:][rng.random((n - 2, k)) < 0.3] = NAN
    return torch.from_numpy(rng.normal(0, 2, (n, k))), torch.from_numpy(targets)


def frequency_of(targets: Tensor) -> Tensor:
    return targets.nanmean(dim=0)


def made(name: Any, targets: Tensor, **numbers: float) -> Loss:
    return Loss(frequency_of(targets), LossSettings(loss=name, **numbers))


# ------------------------------------------------------------------ references


@pytest.mark.parametrize("name", SLOW)
@given(seed=seeds, soft=st.booleans())
@settings(max_examples=25)
def test_a_loss_is_its_slow_reference(name: Any, seed: int, soft: bool) -> None:
    logits, targets = some(seed)
    if soft:
        targets = targets * 0.8 + 0.1
    loss = made(name, targets)
    slow = loss_slowly(logits.numpy(), targets.numpy(), frequency_of(targets).numpy(),
                       loss.settings)  # fmt: skip
    assert loss(logits, targets).item() == pytest.approx(slow, rel=1e-4)


def test_every_loss_has_a_reference_and_a_name() -> None:
    assert {*LOSSES} == {*get_args(LossName)} == {*SLOW, "auc"}


@given(seed=seeds, gap=st.floats(0.1, 1))
@settings(max_examples=25)
def test_the_margin_loss_of_a_whole_set_is_variances_and_shortfall(seed: int, gap: float) -> None:
    """With its means from this set alone: value and gradient of the closed form."""
    logits, targets = some(seed, unknown=False)
    logits.requires_grad_()
    loss = made("auc", targets, gap=gap, memory=0)
    value = loss(logits, targets)
    slow = auc_margin(logits.detach().numpy(), targets.numpy(), gap)
    assert value.item() == pytest.approx(slow.mean(), rel=1e-4, abs=1e-6)
    value.backward()
    for row, column in ((0, 0), (1, 2), (5, 1)):
        sides = []
        for step in (-1e-4, 1e-4):
            moved = logits.detach().numpy().copy()
            moved[row, column] += step
            sides.append(auc_margin(moved, targets.numpy(), gap).mean())
        assert logits.grad is not None
        slope = (sides[1] - sides[0]) / 2e-4
        assert logits.grad[row, column].item() == pytest.approx(slope, rel=1e-2, abs=1e-6)


# ------------------------------------------------------------------ by hand


def test_losses_worked_by_hand() -> None:
    """One image, p = 1/2, a quarter positive: log 2 times the weight, and so on."""
    logits, frequency, two = torch.zeros(1, 1), torch.tensor([0.25]), math.log(2)
    names: list[Any] = list(SLOW)
    found = {
        (name, y): Loss(frequency, LossSettings(loss=name))(logits, torch.full((1, 1), y)).item()
        for name in names
        for y in (0.0, 1.0)
    }
    assert found == pytest.approx({
        ("study", 0): 0.25 * two, ("study", 1): 0.75 * two,
        ("bce", 0): two, ("bce", 1): two,
        ("positive", 0): two, ("positive", 1): 3 * two,
        ("focal", 0): two / 4, ("focal", 1): two / 4,
        ("asymmetric", 0): -(0.45**4) * math.log(0.55), ("asymmetric", 1): two,
        ("adjusted", 0): math.log(4 / 3), ("adjusted", 1): math.log(4),
    }, rel=1e-5)  # fmt: skip


def test_the_study_s_loss_of_knowing_nothing_is_the_published_number(data_dir: Path) -> None:
    """On the real table, train_val: 1.127 with No Finding as a fifteenth output, 0.790 without."""
    tables = data_dir / "metadata"
    with gzip.open(tables / "train_val_list.txt.gz", "rt") as lines:
        chosen = set(lines.read().split())
    frame = pl.read_csv(tables / "Data_Entry_2017_v2020.csv.gz")
    frame = frame.filter(pl.col("Image Index").is_in(list(chosen)))
    told = frame["Finding Labels"].str.split("|")
    names = sorted(told.explode().unique(), key=lambda name: name == "No Finding")
    targets = torch.stack([torch.from_numpy(told.list.contains(name).to_numpy()) for name in names])
    labels = targets.T.double()
    assert labels.shape == (86_524, 15)
    for findings, expected in ((15, 1.127), (14, 0.790)):
        part = labels[:, :findings]
        loss = Loss(part.mean(dim=0), LossSettings(loss="study"))
        assert loss(torch.zeros(part.shape), part).item() == pytest.approx(expected, abs=5e-4)


def _known(loss: Loss) -> Any:
    from hilum.training.losses import Known

    return Known(loss.frequency, loss.means, loss.settings)


def test_the_study_s_best_constant_is_one_half() -> None:
    _, targets = some(3, n=40, unknown=False)
    loss = made("study", targets)
    costs = [loss(torch.full(targets.shape, x), targets).item() for x in (-0.2, 0.0, 0.2)]
    assert costs[1] == min(costs)


def test_the_frequency_is_over_known_labels() -> None:
    values = np.array([[1, 0], [0, 1], [0, NAN], [0, 1.0]])
    np.testing.assert_allclose(frequency_of(torch.from_numpy(values)), [1 / 4, 2 / 3])


def test_a_positive_label_weighs_no_more_than_the_limit() -> None:
    loss = Loss(torch.tensor([0.001]), LossSettings(loss="positive", most_ratio=20))
    assert loss(torch.zeros(1, 1), torch.ones(1, 1)).item() == pytest.approx(20 * math.log(2))


def test_negatives_far_below_cost_nothing_in_the_asymmetric_loss() -> None:
    loss = Loss(torch.tensor([0.5]), LossSettings(loss="asymmetric"))
    logits = torch.tensor([[math.log(0.04 / 0.96)]], requires_grad=True)
    value = loss(logits, torch.zeros(1, 1))
    value.backward()
    assert value.item() == pytest.approx(0, abs=1e-12)
    assert logits.grad is not None
    assert logits.grad.item() == pytest.approx(0, abs=1e-12)


# ------------------------------------------------------------------ what every loss obeys


@every_loss
@given(seed=seeds)
@settings(max_examples=15)
def test_unknown_labels_cost_nothing_and_have_no_gradient(name: Any, seed: int) -> None:
    logits, targets = some(seed)
    targets[:, 2] = torch.where(torch.arange(len(targets)) < 2, targets[:, 2], NAN)
    logits.requires_grad_()
    value = made(name, targets)(logits, targets)
    assert value.shape == ()
    value.backward()
    assert logits.grad is not None
    assert torch.isfinite(logits.grad).all()
    assert (logits.grad[targets.isnan()] == 0).all()
    elsewhere = torch.where(targets.isnan(), logits.detach() + 100, logits.detach())
    assert torch.equal(made(name, targets)(elsewhere, targets), value.detach())


@every_loss
def test_a_batch_without_a_known_label_costs_nothing(name: Any) -> None:
    loss = Loss(torch.tensor([0.2, 0.4]), LossSettings(loss=name))
    logits = torch.randn(3, 2, requires_grad=True, generator=torch.Generator().manual_seed(0))
    value = loss(logits, torch.full((3, 2), NAN))
    value.backward()
    assert value.item() == 0
    assert logits.grad is not None
    assert (logits.grad == 0).all()


@every_loss
@given(seed=seeds)
@settings(max_examples=10)
def test_the_truth_is_cheapest_and_wrong_answers_dearest(name: Any, seed: int) -> None:
    logits, targets = some(seed)
    loss = made(name, targets)
    loss(logits, targets)  # the margin loss has its means from here
    loss.eval()
    truth = torch.where(targets == 1, 6.0, -6.0)
    right, random, wrong = (loss(x, targets).item() for x in (truth, logits, -truth))
    assert right < random < wrong


@every_loss
def test_descending_the_loss_puts_positives_above_negatives(name: Any) -> None:
    logits, targets = some(7, n=30)
    loss = made(name, targets)
    logits.requires_grad_()
    optimiser = torch.optim.Adam([logits], lr=0.2)
    for _ in range(150):
        optimiser.zero_grad()
        loss(logits, targets).backward()
        optimiser.step()
    for x, y in zip(logits.detach().T, targets.T, strict=True):
        assert x[y == 1].min() > x[y == 0].max()


@every_loss
def test_the_surer_the_readers_the_higher_the_best_answer(name: Any) -> None:
    """Of targets 0.2, 0.5 and 0.8; where the loss has no class weight the answer is the target."""
    loss = Loss(torch.tensor([0.4]), LossSettings(loss=name))
    loss.seen += torch.tensor([[[0.8], [0.2]], [[1.0], [1.0]]])  # means of 0.8 and 0.2
    grid = torch.linspace(-4, 4, 1601)
    known = _known(loss)
    best = []
    for target in (0.2, 0.5, 0.8):
        costs = LOSSES[name](grid[:, None], torch.full((len(grid), 1), target), known)
        best.append(grid[costs.argmin()].sigmoid().item())
    assert best[0] < best[1] < best[2]
    if name in ("bce", "focal"):
        assert best == pytest.approx([0.2, 0.5, 0.8], abs=2e-3)


@every_loss
@given(seed=seeds)
@settings(max_examples=10)
def test_shares_of_a_batch_have_together_the_gradient_of_the_whole(name: Any, seed: int) -> None:
    """As two processes see it: each divides by half of the labels known in the whole batch."""
    logits, targets = some(seed)
    loss = made(name, targets, memory=0)
    loss(logits, targets)
    loss.eval()  # the means stay those of the whole batch
    counts = (~targets.isnan()).sum(dim=0) / 2
    gradients: list[Tensor] = []
    for part in (slice(None), slice(0, 6), slice(6, 12)):
        x = logits[part].clone().requires_grad_()
        given_counts = None if part == slice(None) else counts
        loss(x, targets[part], given_counts).backward()
        assert x.grad is not None
        gradients.append(x.grad)
    whole, *halves = gradients
    torch.testing.assert_close(torch.cat(halves) / 2, whole)


@every_loss
def test_half_precision_logits_and_extreme_ones_give_finite_numbers(name: Any) -> None:
    _, targets = some(1)
    for logits in (torch.full(targets.shape, 80.0), torch.full(targets.shape, -80.0)):
        x = logits.to(torch.bfloat16).requires_grad_()
        value = made(name, targets)(x, targets)
        value.backward()
        assert math.isfinite(value.item())
        assert x.grad is not None
        assert torch.isfinite(x.grad).all()


def test_the_margin_loss_remembers_rare_positives() -> None:
    """Decayed sums, not decayed means: a batch without positives leaves their mean alone."""
    loss = Loss(torch.tensor([0.1]), LossSettings(loss="auc", memory=0.5))
    loss(torch.logit(torch.tensor([[0.8], [0.2]])), torch.tensor([[1.0], [0.0]]))
    loss(torch.logit(torch.tensor([[0.4], [0.4]])), torch.tensor([[0.0], [0.0]]))
    present, absent = loss.means
    assert present.item() == pytest.approx(0.8)
    assert absent.item() == pytest.approx((0.5 * 0.2 + 0.8) / 2.5)
    before = loss.seen.clone()
    loss.eval()(torch.zeros(2, 1), torch.tensor([[1.0], [0.0]]))
    assert torch.equal(loss.seen, before)


# ------------------------------------------------------------------ what is refused


@pytest.mark.parametrize(
    ("numbers", "message"),
    [
        ({"loss": "hinge"}, "'hinge' is not a loss; choose from study, bce, positive, focal, asym"),
        ({"focus": -1}, "focus cannot be -1: from 0 to 1000"),
        ({"shift": 1.0}, r"shift cannot be 1\.0: at least 0, below 1"),
        ({"most_ratio": 0.5}, r"most_ratio must be at least 1; got 0\.5"),
    ],
)
def test_numbers_outside_their_range_are_refused(numbers: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        LossSettings(**numbers)


def test_a_finding_of_one_class_has_no_loss() -> None:
    with pytest.raises(UsageError, match=r"positive and negative labels of every.*\[0\.5, 0\.0\]"):
        Loss(torch.tensor([0.5, 0.0]), LossSettings())


# ------------------------------------------------------------------ targets


def table(values: list[list[float]], ids: str = "abc") -> Table:
    names = ("Edema", "Mass", "Hernia")[: len(values[0])]
    return Table(tuple(ids[: len(values)]), names, np.array(values))


def same(found: NDArray[np.float64], expected: list[list[float]]) -> None:
    np.testing.assert_array_equal(found, np.array(expected))


def test_uncertain_labels_count_as_they_are_told_to() -> None:
    labels = table([[1, -1], [0, NAN], [0.25, -1]])
    same(targets_of(labels), [[1, NAN], [0, NAN], [0.25, NAN]])
    same(targets_of(labels, "positive"), [[1, 1], [0, NAN], [0.25, 1]])
    same(targets_of(labels, "negative"), [[1, 0], [0, NAN], [0.25, 0]])
    same(targets_of(labels, 0.6), [[1, 0.6], [0, NAN], [0.25, 0.6]])


@pytest.mark.parametrize("uncertain", ["maybe", 1.5, NAN])
def test_other_ways_to_count_them_are_refused(uncertain: Any) -> None:
    with pytest.raises(UsageError, match="counts as ignore, positive, negative or a number from"):
        targets_of(table([[1]]), uncertain)


def test_scores_are_no_labels() -> None:
    with pytest.raises(TableError, match=r"'b' for Mass is 1\.5: expected a number from 0 to 1, -"):
        targets_of(table([[0, 0], [1, 1.5]]))


def test_readers_who_disagree_make_soft_labels() -> None:
    """Three readers: two of three see edema in a, one is unsure of b, nobody looked at c's mass."""
    readers = [
        table([[1, 0], [1, 0], [0, NAN]]),
        table([[1, 1], [-1, 0]]),
        table([[1, 0], [0, 0]], ids="ca"),
    ]
    found = averaged(readers)
    assert found.ids == ("a", "b", "c")
    same(found.values, [[2 / 3, 1 / 3], [1, 0], [0.5, 0]])
    same(averaged(readers, 0.5).values, [[2 / 3, 1 / 3], [0.75, 0], [0.5, 0]])
    same(majority(averaged(readers).values), [[1, 0], [1, 0], [NAN, 0]])


def test_readers_of_other_findings_and_no_readers_are_refused() -> None:
    with pytest.raises(TableError, match="there is no finding 'Mass' here; there are Edema"):
        averaged([table([[1, 0]]), table([[1]])])
    with pytest.raises(UsageError, match="there are no tables of labels to average"):
        averaged([])
