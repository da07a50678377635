"""Comparing strategies: hand-worked areas, slow versions, laws, and what is written."""

import csv
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from hilum.errors import UsageError
from hilum.evaluate import auroc
from hilum.evaluate.draws import Draws
from hilum.select.beside import People
from hilum.select.comparison import ALL_SEEN, ALL_UNSEEN, Cell, Comparison, Design
from hilum.select.comparison import compare_strategies as compare
from hilum.select.comparison_files import as_json, as_rows, as_text, save
from hilum.select.contenders import Contender, by_original, by_selector, without_labels
from hilum.select.figures import draw_comparison
from hilum.select.labelled import LabelledVectors
from hilum.select.original import LstmSelector, distinct, select_tasks
from hilum.select.original_run import Original
from hilum.select.patients_again import draw_patients, resampled_means
from hilum.select.pool import Rows
from hilum.select.reward import improvement, rewards
from hilum.select.selector import SelectorSpec, SetSelector
from hilum.select.selector_task import chosen_by, unit_vectors
from hilum.select.task_plan import TaskPlan
from hilum.select.tasks import Tasks, TaskSource
from reference_tasks import FINDINGS, hospital

PLAN = TaskPlan(pool=30, query=16)
DESIGN = Design(
    seen=("Edema", "Pneumonia"), unseen=("Fracture",), budgets=(4, 8), prevalences=(0.5, 0.2),
    tasks=6, plan=PLAN, resamples=60, seed=3,
)  # fmt: skip


def films(n: int = 500, patients: int = 200) -> LabelledVectors:
    """Return the hospital's films as what a comparison takes."""
    made, unknown = hospital(n, patients), np.full(n, np.nan)
    return LabelledVectors(
        ids=tuple(f"i{at}" for at in range(n)), vectors=made.vectors, findings=FINDINGS,
        labels=made.labels, patients=tuple(f"p{one}" for one in made.patients),
        people=People(unknown, unknown, unknown, unknown),
    )  # fmt: skip


def first(source: TaskSource, tasks: Tasks, indices: Rows, budget: int) -> Rows:
    """Pick the first images of every pool."""
    return np.tile(np.arange(budget), (len(tasks), 1))


def positives_first(source: TaskSource, tasks: Tasks, indices: Rows, budget: int) -> Rows:
    """Pick as many of either class, by looking at the labels."""
    order = np.argsort(tasks.pool_labels, axis=1, kind="stable")
    return np.hstack([order[:, : budget // 2], order[:, -(budget // 2) :]])


@pytest.fixture(scope="module")
def found() -> Comparison:
    contenders = {"medselect": positives_first, "first": first} | without_labels(["random"], 3)
    return compare(films(), contenders, DESIGN, about={"embedding": "none"})


def cell(found: Comparison, **wanted: object) -> Cell:
    """Return the one cell that has these values."""
    fits = [
        one for one in found.cells()
        if all(getattr(one, name) == value for name, value in wanted.items())
    ]  # fmt: skip
    assert len(fits) == 1, fits
    return fits[0]


# ------------------------------------------------------------------- patients drawn again


def test_hand_worked_areas_with_patients_drawn_again() -> None:
    # positives 0.9 and 0.4, negatives 0.4 and 0.1; rows 0 to 3 of patients 0, 1, 2, 2
    tasks = Tasks(
        np.array([0]), np.array([[0]]), np.array([[1]], dtype=np.uint8),
        np.array([[0, 1, 2, 3]]), np.array([[1, 1, 0, 0]], dtype=np.uint8),
    )  # fmt: skip
    counts = np.array([[1, 2, 0, 3], [1, 1, 3, 0], [1, 0, 0, 1]], dtype=np.uint8)
    scores = [[[0.9, 0.4, 0.4, 0.1], [0.0, 0.0, 0.0, 0.0]]]
    means = resampled_means(scores, tasks, np.array([0, 1, 2, 2]), counts)
    np.testing.assert_array_equal(means, [[0.875, np.nan, np.nan, 1.0], [0.5, np.nan, np.nan, 0.5]])


@given(st.integers(0, 500))
def test_weighted_areas_are_those_of_tables_with_rows_repeated(seed: int) -> None:
    rng = np.random.default_rng(seed)
    n_tasks, n_query, n_images, n_patients = 3, 8, 20, 9
    owner = rng.integers(n_patients, size=n_images)
    query = np.stack([rng.permutation(n_images)[:n_query] for _ in range(n_tasks)])
    truth = np.tile([1, 0], (n_tasks, n_query // 2)).astype(np.uint8)
    scores = rng.integers(4, size=(n_tasks, 2, n_query)) / 4  # with ties
    counts = draw_patients(n_patients, 7, seed)
    nothing = np.zeros((n_tasks, 1), dtype=np.int64)
    tasks = Tasks(nothing[:, 0], nothing, nothing.astype(np.uint8), query, truth)
    found = resampled_means(scores, tasks, owner, counts)
    for way in range(2):
        for draw in range(7):
            areas = []
            for task in range(n_tasks):
                times = counts[owner[query[task]], draw]
                labels = np.repeat(truth[task], times).astype(float)
                if 0 < labels.sum() < labels.size:
                    areas.append(auroc(np.repeat(scores[task, way], times), labels))
            expected = np.mean(areas) if areas else np.nan
            np.testing.assert_allclose(found[way, draw], expected)


def test_patients_are_drawn_as_the_evaluation_draws_them() -> None:
    counts = draw_patients(30, 250, seed=5)
    assert (counts.sum(axis=0) == 30).all()
    ((_, expected),) = Draws(30, 250, 5).counts(250)
    np.testing.assert_array_equal(counts, expected)


# -------------------------------------------------------------------------- the comparison


def test_areas_are_the_rewards_of_the_picks_on_the_same_tasks(found: Comparison) -> None:
    data = films()
    for p, prevalence in enumerate(DESIGN.prevalences):
        for f, finding in enumerate(DESIGN.findings):
            source = data.tasks(DESIGN.plan_at(prevalence, (finding,)), seed=3)
            tasks = source.batch(range(6))
            assert tasks.query_labels.mean() == 0.5
            assert tasks.pool_labels.mean() == pytest.approx(prevalence)
            for k, budget in enumerate(DESIGN.budgets):
                picks = positives_first(source, tasks, np.arange(6), budget)
                expected = rewards(data.vectors, tasks, picks)
                np.testing.assert_allclose(found.auroc[p, f, k, 0], expected)


def test_means_gains_and_both_intervals_come_from_areas_and_resamples(found: Comparison) -> None:
    one = cell(found, prevalence=0.2, finding=ALL_SEEN, budget=8, strategy="first")
    area, again = found.auroc[1, :2, 1], found.resampled[1, :2, 1]
    assert one.auroc.estimate == pytest.approx(area[:, 1].mean())
    assert one.gain is not None
    assert one.gain_over_tasks is not None
    assert one.gain.estimate == pytest.approx((area[:, 0] - area[:, 1]).mean())
    ends = np.quantile((again[:, 0] - again[:, 1]).mean(axis=0), [0.025, 0.975])
    assert (one.gain.low, one.gain.high) == pytest.approx(tuple(ends))
    assert one.gain_over_tasks == improvement((area[:, 0] - area[:, 1]).ravel())
    assert (one.seen, one.findings, one.labelled) == (True, 2, 8)
    assert (
        cell(found, prevalence=0.2, finding=ALL_SEEN, budget=8, strategy="medselect").gain is None
    )


def test_findings_that_were_never_seen_stand_apart(found: Comparison) -> None:
    one = cell(found, prevalence=0.5, finding=ALL_UNSEEN, budget=4, strategy="random")
    same = cell(found, prevalence=0.5, finding="Fracture", budget=4, strategy="random")
    assert replace(one, finding="Fracture") == same
    assert not one.seen


def test_resamples_with_every_patient_once_give_the_means() -> None:
    data = films(300)
    source = data.tasks(DESIGN.plan_at(0.5, ("Edema",)))
    tasks = source.batch(range(4))
    _, owner = np.unique(np.array(data.patients), return_inverse=True)
    scores = np.random.default_rng(0).normal(size=(4, 1, 16))
    once = np.ones((200, 1), dtype=np.uint8)
    expected = np.mean([auroc(s[0], t) for s, t in zip(scores, tasks.query_labels, strict=True)])
    assert resampled_means(scores, tasks, owner, once)[0, 0] == pytest.approx(expected)


def test_the_interval_over_patients_is_wide_where_few_patients_make_many_tasks() -> None:
    """Two films of each of 60 patients: 200 tasks do not make them more."""
    design = replace(
        DESIGN, seen=("Edema",), unseen=(), budgets=(4,), prevalences=(0.5,), tasks=200,
        plan=TaskPlan(pool=8, query=8), resamples=200,
    )  # fmt: skip
    result = compare(films(120, 60), {"first": first, "x": positives_first}, design)
    one = cell(result, finding="Edema", strategy="x")
    over_tasks = improvement(result.auroc[0, 0, 0, 1])
    assert _width(one.auroc.low, one.auroc.high) > 1.2 * _width(over_tasks.low, over_tasks.high)


def test_whatever_is_subtracted_the_gain_turns_its_sign(found: Comparison) -> None:
    one = cell(found, prevalence=0.5, finding="Edema", budget=4, strategy="first").gain
    other = cell(
        replace(found, reference="first"),
        prevalence=0.5, finding="Edema", budget=4, strategy="medselect",
    ).gain  # fmt: skip
    assert one is not None
    assert other is not None
    assert one.estimate == pytest.approx(-(other.estimate or 0))
    assert (one.low, one.high) == pytest.approx((-(other.high or 0), -(other.low or 0)))


def _width(low: float | None, high: float | None) -> float:
    assert low is not None
    assert high is not None
    return high - low


def test_the_same_seed_gives_the_same_and_company_changes_nothing(found: Comparison) -> None:
    more = {"first": first} | without_labels(["k-means", "random"], 3)
    again = compare(films(), more, DESIGN)
    at = list(more).index("random")
    np.testing.assert_array_equal(again.auroc[:, :, :, at], found.auroc[:, :, :, 2])
    np.testing.assert_allclose(again.resampled[:, :, :, at], found.resampled[:, :, :, 2])
    assert again.reference == "first"
    other = compare(films(), without_labels(["random", "k-means"], 4), replace(DESIGN, seed=4))
    assert not np.array_equal(other.auroc[:, :, :, 0], found.auroc[:, :, :, 2])


def test_random_picks_differ_between_tasks_findings_and_budgets() -> None:
    data, pick = films(), without_labels(["random"])["random"]
    seen: list[NDArray[np.int64]] = []
    for finding in ("Edema", "Pneumonia"):
        source = data.tasks(DESIGN.plan_at(0.5, (finding,)))
        indices = np.arange(5)
        tasks = source.batch(indices)
        seen += list(pick(source, tasks, indices, 6))
        np.testing.assert_array_equal(
            pick(source, source.batch([4]), np.array([4]), 6)[0], seen[-1]
        )
    assert len({tuple(one) for one in seen}) == 10


def test_a_finding_that_is_too_rare_is_left_out_and_says_so() -> None:
    data = films()
    rare = data.labels.copy()
    rare[np.flatnonzero(rare[:, 2] == 1)[3:], 2] = 0
    result = compare(replace(data, labels=rare), {"first": first, "x": positives_first}, DESIGN)
    assert set(result.left_out) == {(0.5, "Fracture"), (0.2, "Fracture")}
    assert "Fracture" in result.left_out[0.5, "Fracture"]
    assert {one.finding for one in result.cells()} == {ALL_SEEN, "Edema", "Pneumonia"}
    assert "No tasks for Fracture at 20%: too rare." in as_text(result)
    assert len(as_json(result)["left_out"]) == 2
    with pytest.raises(UsageError, match="no tasks for any finding at any prevalence; of the fir"):
        compare(replace(data, labels=rare), {"first": first, "x": positives_first},
                replace(DESIGN, seen=("Fracture",), unseen=()))  # fmt: skip


# ------------------------------------------------------------------------- the contenders


def test_a_selector_picks_what_it_would_pick_of_all_the_images() -> None:
    data = films()
    selector = SetSelector(SelectorSpec(dim=8), seed=1).eval()
    import torch

    torch.nn.init.normal_(selector.judge.weight, generator=torch.Generator().manual_seed(1))
    source = data.tasks(DESIGN.plan_at(0.5, ("Edema",)))
    tasks = source.batch(range(3))
    unit = unit_vectors(data.vectors)
    expected = chosen_by(selector, unit, torch.from_numpy(tasks.pool), 5).numpy()
    found = by_selector(selector)(source, tasks, np.arange(3), 5)
    np.testing.assert_array_equal(found, expected)
    assert (distinct(found) == 5).all()


def test_the_original_draws_as_in_its_own_test_and_labels_fewer() -> None:
    data = films()
    network = LstmSelector(8).eval()
    original = Original(network, dim=8, budget=20)
    contenders: Mapping[str, Contender] = {"medselect-2021": by_original(original, None, 3),
                                           "first": first}  # fmt: skip
    design = replace(DESIGN, seen=("Edema",), unseen=(), prevalences=(0.5,), budgets=(12,))
    result = compare(data, contenders, design)
    source = data.tasks(design.plan_at(0.5, ("Edema",)), 3)
    ((tasks, picks),) = select_tasks(network, source, range(6), 12, seed=3)
    np.testing.assert_allclose(result.auroc[0, 0, 0, 0], rewards(data.vectors, tasks, picks))
    one = cell(result, finding="Edema", strategy="medselect-2021")
    assert one.labelled == pytest.approx(distinct(picks).mean())
    assert one.labelled < 12


def test_strategies_that_learn_from_labels_are_refused() -> None:
    assert "random" in without_labels()
    assert "badge" not in without_labels()
    with pytest.raises(UsageError, match="'badge' is not a strategy that chooses without labels"):
        without_labels(["badge"])


# ------------------------------------------------------------------------------ refusals


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"seen": (), "unseen": ()}, "one or more different findings; got none"),
        ({"unseen": ("Edema",)}, "one or more different findings; got Edema, Pneumonia, Edema"),
        ({"budgets": (4, 4)}, "one or more different budgets; got 4, 4"),
        ({"prevalences": ()}, "one or more different prevalences; got none"),
        ({"budgets": (31,)}, "budgets must be from 1 to the pool's 30 images; got 31"),
        ({"budgets": (0,)}, "budgets must be from 1 to the pool's 30 images; got 0"),
        ({"tasks": 1}, "needs two tasks, two resamples"),
        ({"prevalences": (1.0,)}, "a prevalence must be above 0 and below 1"),
    ],
)
def test_designs_that_cannot_be_are_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        replace(DESIGN, **change)  # type: ignore[arg-type]


def test_comparisons_that_cannot_be_are_refused() -> None:
    two = {"first": first, "x": positives_first}
    with pytest.raises(UsageError, match="two strategies or more, got first"):
        compare(films(), {"first": first}, DESIGN)
    with pytest.raises(UsageError, match="no finding 'Gout' here; there are Edema"):
        compare(films(), two, replace(DESIGN, unseen=("Gout",)))
    broken = films()
    broken.vectors[7] = 0
    with pytest.raises(UsageError, match=r"1 of 500 vectors are zero, the first is that of 'i7'"):
        compare(broken, two, DESIGN)


# ------------------------------------------------------------------------------ the files


def test_the_files_hold_every_cell_and_say_what_the_intervals_are(
    found: Comparison, tmp_path: Path
) -> None:
    paths = save(found, tmp_path / "out")
    assert [path.name for path in paths] == [
        "comparison.json", "comparison.csv", "comparison.txt", "comparison_seen_50.svg",
        "comparison_unseen_50.svg", "comparison_seen_20.svg", "comparison_unseen_20.svg",
    ]  # fmt: skip
    document = json.loads(paths[0].read_text())
    assert document == json.loads(json.dumps(as_json(found)))
    assert document["reference"] == "medselect"
    assert document["intervals"]["gain"].startswith("over patients")
    assert document["intervals"]["gain_over_tasks"].startswith("over tasks")
    rows = list(csv.DictReader(paths[1].read_text().splitlines()))
    assert len(rows) == len(document["results"]) == 2 * 5 * 2 * 3
    for row, result in zip(rows, document["results"], strict=True):
        assert row["strategy"] == result["strategy"]
        assert float(row["auroc"]) == result["auroc"]["estimate"]
        gain = result["gain"]
        assert row["gain_low"] == ("" if gain is None else str(gain["low"]))
    assert len(list(as_rows(found))) == len(rows)


def test_a_figure_has_a_row_for_each_other_strategy(found: Comparison) -> None:
    figure = dict(draw_comparison(found))["comparison_unseen_20"]
    (axes,) = figure.axes
    others = [name for name in found.strategies if name != "medselect"]
    assert [text.get_text() for text in axes.get_yticklabels()] == [f"minus {n}" for n in others]
    gains = [
        cell.gain.estimate for cell in found.cells()
        if (cell.prevalence, cell.finding, cell.budget) == (0.2, ALL_UNSEEN, 8) and cell.gain
    ]  # fmt: skip
    assert gains in [np.asarray(line.get_xdata()).tolist() for line in axes.lines]
    assert axes.get_xlabel() == "AUROC of medselect minus the strategy's"


def test_the_table_is_for_a_terminal_of_eighty_columns(found: Comparison) -> None:
    text = as_text(found)
    assert max(map(len, text.splitlines())) <= 80
    assert "8 of 30 at 20%          seen findings               unseen findings" in text
    one = cell(found, prevalence=0.2, finding=ALL_SEEN, budget=8, strategy="random")
    assert one.gain is not None
    assert one.gain.estimate is not None
    line = next(row for row in text.split("8 of 30 at 20%")[1].splitlines() if "random" in row)
    assert f"[{one.gain.estimate:+.3f}: ".replace("0.", ".", 1) in line
