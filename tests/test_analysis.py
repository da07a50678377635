"""What was selected: hand-worked descriptions, the floor, tests with correction, and files."""

import csv
import json
import math
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from matplotlib.collections import LineCollection
from scipy.stats import t, ttest_ind

from hilum.errors import UsageError
from hilum.evaluate.multiplicity import holm
from hilum.select.analysis import (
    METRICS,
    Analysis,
    Row,
    analyse_strategies,
    describe,
    measures_of,
    welch,
)
from hilum.select.analysis_files import as_json, as_text, save
from hilum.select.beside import People
from hilum.select.comparison import ALL_SEEN, ALL_UNSEEN, Design
from hilum.select.contenders import by_strategy, without_labels
from hilum.select.figures import draw_analysis
from hilum.select.labelled import LabelledVectors
from hilum.select.pool import Rows
from hilum.select.strategies import STRATEGIES
from hilum.select.task_plan import TaskPlan
from hilum.select.tasks import Tasks, TaskSource
from reference_tasks import FINDINGS, hospital

DESIGN = Design(
    seen=("Edema", "Pneumonia"), unseen=("Fracture",), budgets=(8,), prevalences=(0.5,), tasks=30,
    plan=TaskPlan(pool=40, query=10),
)  # fmt: skip


def films(n: int = 500) -> LabelledVectors:
    """Return the hospital's films; every second is of a woman, every third frontal."""
    made = hospital(n, 200)
    ages = 20 + 60 * np.random.default_rng(1).random(n)
    ages[::7] = np.nan
    return LabelledVectors(
        ids=tuple(f"i{at}" for at in range(n)), vectors=made.vectors, findings=FINDINGS,
        labels=made.labels, patients=tuple(f"p{one}" for one in made.patients),
        people=People(
            ages, (np.arange(n) % 2).astype(np.float64), (np.arange(n) % 3 == 0).astype(np.float64),
            np.where(np.arange(n) % 3 == 0, np.arange(n) % 4 == 0, np.nan),
        ),
    )  # fmt: skip


def eldest(source: TaskSource, tasks: Tasks, indices: Rows, budget: int) -> Rows:
    """Pick the oldest of every pool, and the very oldest twice."""
    ages = films().people.age[tasks.pool]
    known = np.argsort(np.where(np.isnan(ages), np.inf, -ages), axis=1, kind="stable")
    return np.hstack([known[:, : budget - 1], known[:, :1]])


@pytest.fixture(scope="module")
def found() -> Analysis:
    contenders = {"medselect": eldest} | without_labels(["random", "k-medoids"])
    return analyse_strategies(films(), contenders, DESIGN, about={"embedding": "none"})


def row(found: Analysis, findings: str, measure: str, strategy: str) -> Row:
    fits = [
        one for one in found.rows()
        if (one.findings, one.measure, one.strategy) == (findings, measure, strategy)
    ]  # fmt: skip
    assert len(fits) == 1
    return fits[0]


def test_a_hand_worked_description() -> None:
    data = replace(
        films(4),
        vectors=np.array([[3, 0], [0, 4], [3, 4], [1, 1]], dtype=np.float32),
        findings=("Edema",), labels=np.array([[1], [0], [np.nan], [1]]),
        people=People(
            np.array([50.0, 70.0, np.nan, 40.0]), np.array([1.0, 0.0, 1.0, np.nan]),
            np.full(4, np.nan), np.array([1.0, 0.0, 0.0, np.nan]),
        ),
    )  # fmt: skip
    got = dict(zip(measures_of(data), describe(data, [0, 1, 2], [0, 3]), strict=True))
    assert len(got) == 4 * 4 + 5 + 1
    # distances 5, 4, 3; to each other at random sqrt(4 + 1)
    assert got["l2_mean"] == pytest.approx(4)
    assert (got["l2_max"], got["l2_range"]) == pytest.approx((5, 2))
    assert got["l2_w1"] == pytest.approx(4 - math.sqrt(5))
    assert (got["l1_mean"], got["l1_max"], got["l1_range"]) == pytest.approx((14 / 3, 7, 4))
    assert got["chebyshev_mean"] == pytest.approx((4 + 4 + 3) / 3)
    assert (got["cosine_max"], got["cosine_mean"]) == pytest.approx((1, (1 + 0.4 + 0.2) / 3))
    assert (got["age"], got["age_w1"]) == pytest.approx((60, 15))
    assert got["female"] == pytest.approx(2 / 3)
    assert math.isnan(got["frontal"])
    assert got["ap"] == pytest.approx(1 / 3)
    assert got["has Edema"] == pytest.approx(0.5)


def test_one_image_has_no_distances() -> None:
    data = films(6)
    got = dict(zip(measures_of(data), describe(data, [1], [2, 3]), strict=True))
    assert all(math.isnan(got[f"{metric}_mean"]) for metric in METRICS)
    assert all(math.isnan(got[f"{metric}_w1"]) for metric in METRICS)
    assert got["female"] == 1


def test_distances_are_those_between_different_picks(found: Analysis) -> None:
    data = films()
    source = data.tasks(DESIGN.plan_at(0.5, ("Pneumonia",)))
    tasks = source.batch([4])
    picks = np.unique(tasks.pool[0, eldest(source, tasks, np.array([4]), 8)[0]])
    assert len(picks) == 7
    slow = [
        math.dist(data.vectors[one].tolist(), data.vectors[other].tolist())
        for one, other in combinations(picks.tolist(), 2)
    ]
    at = found.measures.index("l2_mean")
    assert found.values[0, 1, 4, at] == pytest.approx(np.mean(slow))
    assert found.values[0, 1, 4, at + 1] == pytest.approx(max(slow))
    assert found.values[0, 1, 4, found.measures.index("age")] == pytest.approx(
        np.nanmean(data.people.age[picks])
    )


def test_the_floor_is_a_random_selection_against_another(found: Analysis) -> None:
    data = films()
    source = data.tasks(DESIGN.plan_at(0.5, ("Edema",)))
    tasks, numbers = source.batch([0]), np.array([0])
    two = [
        np.unique(tasks.pool[0, pick(source, tasks, numbers, 8)[0]])
        for pick in (
            by_strategy("random", STRATEGIES["random"]),
            by_strategy("reference", STRATEGIES["random"]),
        )
    ]
    assert set(two[0]) != set(two[1])
    np.testing.assert_allclose(found.values[1, 0, 0], describe(data, *two))
    assert row(found, ALL_SEEN, "age_w1", "medselect").mean > 2 * (
        row(found, ALL_SEEN, "age_w1", "random").mean
    )


def test_a_selection_of_the_old_is_found_out(found: Analysis) -> None:
    one = row(found, ALL_SEEN, "age", "random")
    assert one.tasks == 60
    assert one.p_value is not None
    assert one.p_adjusted is not None
    assert one.p_adjusted < 1e-6
    assert row(found, ALL_SEEN, "age", "medselect").p_value is None
    assert row(found, ALL_SEEN, "age", "medselect").mean > one.mean + 10
    female = row(found, ALL_UNSEEN, "female", "random")
    assert female.tasks == 30
    assert female.p_adjusted is not None
    assert female.p_adjusted > 0.05


def test_p_values_are_welchs_and_corrected_for_all_of_them(found: Analysis) -> None:
    rows = found.rows()
    tested = [one for one in rows if one.p_value is not None]
    expected = holm([one.p_value or 0.0 for one in tested])
    assert [one.p_adjusted for one in tested] == pytest.approx(expected.tolist())
    at = found.measures.index("frontal")
    one, other = found.values[0, :2, :, at].ravel(), found.values[2, :2, :, at].ravel()
    p_value = ttest_ind(one, other, equal_var=False).pvalue
    assert row(found, ALL_SEEN, "frontal", "k-medoids").p_value == pytest.approx(p_value)
    assert welch(np.ones(3), np.ones(4)) is None
    assert welch(np.ones(1), np.arange(3.0)) is None
    assert welch(np.full(5, 0.1), np.full(5, 0.1) + np.arange(5) * 1e-17) is None
    # a row that does not vary against 1, 2, 3: Student's t of 2 / (1 / sqrt(3)) with 2 degrees
    assert welch(np.zeros(9), np.arange(1.0, 4)) == pytest.approx(2 * t.sf(2 * 3**0.5, 2))


def test_what_is_unknown_is_no_row() -> None:
    made = films()
    data = replace(made, people=replace(made.people, age=np.full(500, np.nan)))
    result = analyse_strategies(data, without_labels(["random", "k-means"]), DESIGN)
    assert not [one for one in result.rows() if one.measure.startswith("age")]
    assert result.reference == "random"
    assert "age" not in as_text(result)


def test_the_same_seed_gives_the_same(found: Analysis) -> None:
    contenders = without_labels(["k-medoids", "random"])
    again = analyse_strategies(films(), contenders, DESIGN)
    np.testing.assert_array_equal(again.values[0], found.values[2])


def test_a_finding_that_is_too_rare_is_left_out() -> None:
    data = films()
    data.labels[np.flatnonzero(data.labels[:, 2] == 1)[3:], 2] = 0
    result = analyse_strategies(data, without_labels(["random", "k-means"]), DESIGN)
    assert set(result.left_out) == {"Fracture"}
    assert {one.findings for one in result.rows()} == {ALL_SEEN}
    assert as_text(result).endswith("No tasks for Fracture: too rare.")


def test_analyses_that_cannot_be_are_refused() -> None:
    with pytest.raises(UsageError, match="one budget and one prevalence"):
        analyse_strategies(films(), without_labels(), replace(DESIGN, budgets=(4, 8)))
    with pytest.raises(UsageError, match="needs the strategy random"):
        analyse_strategies(films(), without_labels(["k-means"]), DESIGN)
    with pytest.raises(UsageError, match="no finding 'Gout' here"):
        analyse_strategies(films(), without_labels(), replace(DESIGN, unseen=("Gout",)))


def test_the_files_say_the_same(found: Analysis, tmp_path: Path) -> None:
    paths = save(found, tmp_path / "out")
    assert [path.name for path in paths] == [
        "analysis.json", "analysis.csv", "analysis.txt", "distances_seen.svg", "selected_seen.svg",
        "distances_unseen.svg", "selected_unseen.svg",
    ]  # fmt: skip
    again = save(found, tmp_path / "again")
    assert [path.read_bytes() for path in again] == [path.read_bytes() for path in paths]
    document = json.loads(paths[0].read_text())
    assert document == json.loads(json.dumps(as_json(found)))
    assert "Holm" in document["tests"]
    assert "random selection against another" in document["floor"]
    table = list(csv.DictReader(paths[1].read_text().splitlines()))
    assert len(table) == len(document["results"]) == 2 * 25 * 3
    assert [float(one["mean"]) for one in table] == [one["mean"] for one in document["results"]]
    text = paths[2].read_text()
    assert max(map(len, text.splitlines())) <= 80
    assert "8 of 40 selected, 50% positive, 30 tasks for each finding." in text
    line = next(one for one in text.splitlines() if one.startswith("  age "))
    assert line.count("*") >= 1


def test_figures_show_the_means_and_how_many_floors_a_distance_is(found: Analysis) -> None:
    figures = dict(draw_analysis(found))
    assert list(figures) == ["distances_seen", "selected_seen", "distances_unseen",
                             "selected_unseen"]  # fmt: skip
    axes = figures["distances_seen"].axes[0]
    assert [text.get_text() for text in axes.get_yticklabels()] == [
        "L2", "L1", "Chebyshev", "cosine", "age"
    ]  # fmt: skip
    drawn = [np.asarray(line.get_xdata(), dtype=np.float64) for line in axes.lines]
    drawn = [one for one in drawn if len(one) == 5]
    assert len(drawn) == 3
    floors = tuple(row(found, ALL_SEEN, f"{m}_w1", "random").mean for m in (*METRICS, "age"))
    ours = [row(found, ALL_SEEN, f"{m}_w1", "medselect").mean for m in (*METRICS, "age")]
    assert any(np.allclose(one, np.divide(ours, floors)) for one in drawn)
    assert any((one == 1).all() for one in drawn)
    shares = figures["selected_unseen"].axes[0]
    women = row(found, ALL_UNSEEN, "female", "medselect")
    half = t.ppf(0.975, women.tasks - 1) * (women.sd or 0) / women.tasks**0.5
    bars = shares.collections[0]
    assert isinstance(bars, LineCollection)
    ends = np.asarray(bars.get_segments()[0])[:, 0]
    np.testing.assert_allclose(ends, [women.mean - half, women.mean + half])


def test_a_figure_of_nothing_known_is_left_out() -> None:
    made = films()
    unknown = np.full(500, np.nan)
    data = replace(made, people=People(unknown, unknown, unknown, unknown))
    contenders = without_labels(["random", "k-means"])
    result = analyse_strategies(data, contenders, replace(DESIGN, unseen=()))
    figures = dict(draw_analysis(result))
    assert list(figures) == ["distances_seen", "selected_seen"]
    names = [text.get_text() for text in figures["selected_seen"].axes[0].get_yticklabels()]
    assert names == ["Edema", "Pneumonia", "Fracture", "No Finding"]
