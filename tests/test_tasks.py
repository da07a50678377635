"""Tasks: what they hold, how they are drawn, and what is too rare to draw them from."""

import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from hilum.collection import Collection, EmbeddingInfo
from hilum.errors import CollectionError, LeakError, UsageError
from hilum.ingest import ingest
from hilum.select.labelled import labelled_vectors
from hilum.select.task_plan import TaskPlan, split_findings
from hilum.select.tasks import Task, TaskSource, refuse_shared_patients
from reference_tasks import FINDINGS, Hospital, chance_of_each_row, hospital
from small_source import small_source

SMALL = TaskPlan(pool=20, query=10)
ALL = "split IS NOT NULL"


def same(one: Task, other: Task) -> bool:
    return all(np.array_equal(value, vars(other)[name]) for name, value in vars(one).items())


# --------------------------------------------------------------------------- what a task holds


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 99),
    patients=st.integers(60, 400),
    prevalence=st.sampled_from([0.1, 0.35, 0.5]),
    negatives=st.sampled_from(["no finding", "rest"]),
    index=st.integers(0, 10**9),
)
def test_a_task_keeps_its_plan_and_shares_no_patient(
    seed: int, patients: int, prevalence: float, negatives: Any, index: int
) -> None:
    films = hospital(400, patients, seed)
    plan = TaskPlan(30, 12, prevalence, negatives, query_prevalence=0.25)
    source = films.source(plan, seed)
    task = source.draw(index)
    label = films.labels[:, FINDINGS.index(source.findings[task.finding])]
    nothing = films.labels[:, 3] == 1
    for rows, labels, sizes in (
        (task.pool, task.pool_labels, plan.pool_sizes),
        (task.query, task.query_labels, plan.query_sizes),
    ):
        assert rows.dtype == np.int64
        assert labels.dtype == np.uint8
        assert len(set(rows.tolist())) == len(rows)
        assert tuple(np.bincount(labels, minlength=2)) == sizes
        assert (label[rows[labels == 1]] == 1).all()
        without = rows[labels == 0]
        assert (nothing[without] if negatives == "no finding" else label[without] != 1).all()
    assert not set(films.patients[task.pool]) & set(films.patients[task.query])


def test_numbers_of_images_are_rounded_up_as_in_the_original() -> None:
    assert TaskPlan().pool_sizes == (500, 500)
    assert TaskPlan().query_sizes == (50, 50)
    assert TaskPlan(pool=100, prevalence=0.07).pool_sizes == (93, 7)  # in floats 7.000000000000001
    assert TaskPlan(pool=11, prevalence=0.5).pool_sizes == (5, 6)
    assert TaskPlan(prevalence=0.2).query_sizes == (80, 20)
    assert TaskPlan(prevalence=0.2, query_prevalence=0.5).query_sizes == (50, 50)


def test_the_order_of_a_pool_tells_nothing_of_its_labels() -> None:
    tasks = hospital().source(SMALL).batch(range(500))
    for labels in (tasks.pool_labels, tasks.query_labels):
        by_place = labels.mean(axis=0)  # each about 0.5, deviation 0.022
        assert np.abs(by_place - 0.5).max() < 0.1


def test_a_batch_is_its_tasks_in_order() -> None:
    source = hospital().source(SMALL)
    tasks = source.batch([7, 3, 7])
    assert len(tasks) == 3
    for at, index in enumerate((7, 3, 7)):
        assert same(source.draw(index), Task(*(value[at] for value in vars(tasks).values())))


# --------------------------------------------------------------------------- randomness


def test_a_task_depends_on_seed_and_number_alone() -> None:
    films = hospital()
    source, again = films.source(SMALL, 5), films.source(SMALL, 5)
    again.batch(range(9))
    assert same(source.draw(3), again.draw(3))
    assert not same(source.draw(3), source.draw(4))
    assert not same(source.draw(3), films.source(SMALL, 6).draw(3))


def test_global_random_numbers_are_neither_used_nor_moved() -> None:
    source = hospital().source(SMALL)
    first = source.draw(1)
    before = np.random.get_state(legacy=False)  # noqa: NPY002
    assert same(source.draw(1), first)
    after = np.random.get_state(legacy=False)  # noqa: NPY002
    assert str(before) == str(after)


def test_every_finding_is_asked_about_equally_often() -> None:
    tasks = hospital().source(SMALL).batch(range(1500))
    counts = np.bincount(tasks.finding, minlength=3)
    assert np.abs(counts - 500).max() < 4 * np.sqrt(1500 * 2 / 9)


@pytest.mark.parametrize(
    ("patients", "pool", "query"),
    [
        (list(range(9)), (2, 2), (1, 2)),  # each film its own patient: as the original
        ([0, 0, 1, 2, 3, 0, 1, 1, 4], (1, 2), (1, 1)),  # some films are lost to the query
        ([0, 0, 0, 1, 2, 2, 3, 4, 5], (1, 4), (1, 1)),  # and some queries leave no pool
    ],
)
def test_every_row_is_drawn_as_often_as_going_through_all_tasks_says(
    patients: list[int], pool: tuple[int, int], query: tuple[int, int]
) -> None:
    normal, ill = [0, 1, 2, 3], [4, 5, 6, 7, 8]
    labels = np.zeros((9, 2))
    labels[normal, 1], labels[ill, 0] = 1, 1
    plan = TaskPlan(sum(pool), sum(query), pool[1] / sum(pool),
                    query_prevalence=query[1] / sum(query))  # fmt: skip
    assert (plan.pool_sizes, plan.query_sizes) == (pool, query)
    source = TaskSource.of(
        np.ones((9, 2), np.float32), labels, patients, ["Edema", "No Finding"], plan
    )
    n = 4000
    tasks = source.batch(range(n))
    expected = chance_of_each_row((normal, ill), patients, pool, query)
    for rows, chance in zip((tasks.query, tasks.pool), expected, strict=True):
        found = np.bincount(rows.ravel(), minlength=9) / n
        error = np.sqrt(np.clip(chance * (1 - chance), 0, None) / n)
        assert (np.abs(found - chance) <= 4 * error + 1e-9).all()


# --------------------------------------------------------------------------- negatives, held out


def made_of(labels: list[list[float]], findings: list[str], plan: TaskPlan) -> TaskSource:
    n = len(labels)
    return TaskSource.of(np.ones((n, 2), np.float32), labels, range(n), findings, plan)


def rows_by_label(source: TaskSource, draws: int = 60) -> tuple[set[int], set[int]]:
    tasks = source.batch(range(draws))
    rows, labels = np.hstack([tasks.pool, tasks.query]), np.hstack(
        [tasks.pool_labels, tasks.query_labels]
    )  # fmt: skip
    return set(rows[labels == 0].tolist()), set(rows[labels == 1].tolist())


UNKNOWN = np.nan
MIXED: list[list[float]] = [  # Edema, Fracture, No Finding
    [1, 0, 0], [1, UNKNOWN, 0], [1, 1, 0],
    [0, 0, 1], [UNKNOWN, UNKNOWN, 1], [0, 1, 1],
    [0, 1, 0], [UNKNOWN, 1, 0], [0, UNKNOWN, UNKNOWN],
]  # fmt: skip


@pytest.mark.parametrize(
    ("negatives", "expected"), [("no finding", {3, 4, 5}), ("rest", {3, 4, 5, 6, 8})]
)
def test_negatives_are_those_of_no_finding_or_all_the_rest(
    negatives: Any, expected: set[int]
) -> None:
    plan = TaskPlan(2, 2, negatives=negatives, findings=("Edema",))
    names = ["Edema", "Fracture", "No Finding"]
    assert rows_by_label(made_of(MIXED, names, plan)) == (expected, {0, 1, 2})


def test_without_a_no_finding_column_all_findings_must_be_known_to_be_absent() -> None:
    labels: list[list[float]] = [[1, 0], [1, 1], [0, 0], [0, 0], [0, UNKNOWN], [UNKNOWN, 0]]
    plan = TaskPlan(2, 2, findings=("oedema",))
    assert rows_by_label(made_of(labels, ["Edema", "Fracture"], plan)) == ({2, 3}, {0, 1})


def test_images_with_a_held_out_finding_take_no_part_unless_asked_to() -> None:
    films = hospital()
    plan = TaskPlan(20, 10, negatives="rest", held_out=("Fracture",))
    fractured = set(np.flatnonzero(films.labels[:, 2] == 1).tolist())
    source = films.source(plan)
    assert source.findings == ("Edema", "Pneumonia")
    negatives, positives = rows_by_label(source)
    assert not fractured & (negatives | positives)
    kept = rows_by_label(films.source(replace(plan, drop_held_out=False)))
    assert fractured & kept[0]
    assert fractured & kept[1]


def test_no_finding_can_be_asked_about_against_the_rest() -> None:
    films = hospital()
    source = films.source(TaskPlan(20, 10, negatives="rest", findings=("normal",)))
    negatives, positives = rows_by_label(source)
    assert (films.labels[list(positives), 3] == 1).all()
    assert (films.labels[list(negatives), 3] == 0).all()


def test_findings_are_split_in_any_spelling_and_without_no_finding() -> None:
    assert split_findings(FINDINGS, ["oedema"]) == (("Pneumonia", "Fracture"), ("Edema",))
    with pytest.raises(UsageError, match="no finding 'Mass' here; there are Edema, Pneumonia"):
        split_findings(FINDINGS, ["Mass"])
    with pytest.raises(UsageError, match=r"no finding is left .* of which Edema are held out"):
        split_findings(["Edema", "No Finding"], ["Edema"])


# --------------------------------------------------------------------------- what is refused


def test_a_task_is_cut_from_one_place() -> None:
    films = hospital(800, 300)
    places = np.where(films.patients < 150, "here", "there")
    films.labels[places == "there", 0] = 0  # the first finding is only here
    source = TaskSource.of(
        films.vectors, films.labels, films.patients, FINDINGS, SMALL, 0, places
    )  # fmt: skip
    drawn = [source.draw(index) for index in range(200)]
    met = {(task.finding, *set(places[np.concatenate([task.pool, task.query])])) for task in drawn}
    assert met == {(0, "here"), (1, "here"), (1, "there"), (2, "here"), (2, "there")}


def test_one_place_draws_what_no_places_draw() -> None:
    films = hospital()
    one = TaskSource.of(films.vectors, films.labels, films.patients, FINDINGS, SMALL, 0,
                        ["x"] * len(films.patients))  # fmt: skip
    assert all(same(one.draw(at), films.source(SMALL).draw(at)) for at in range(20))
    assert one.digest == films.source(SMALL).digest


def test_a_finding_too_rare_everywhere_is_refused_with_the_counts_of_its_best_place() -> None:
    films = hospital(800, 300)
    places = np.arange(800) % 3 == 0
    films.labels[np.flatnonzero(films.labels[:, 0] == 1)[9:], 0] = 0
    most = max(int((films.labels[places == side, 0] == 1).sum()) for side in (True, False))
    with pytest.raises(UsageError, match=f"{FINDINGS[0]} is too rare: {most} images of"):
        TaskSource.of(films.vectors, films.labels, films.patients, FINDINGS, SMALL, 0, places)
    with pytest.raises(ValueError, match=r"places must be \(800,\), got \(3,\)"):
        TaskSource.of(films.vectors, films.labels, films.patients, FINDINGS, SMALL, 0, [1, 2, 3])


def test_a_digest_knows_vectors_labels_and_patients() -> None:
    films = hospital()
    other = replace(films, labels=films.labels.copy())
    ill, well = (np.flatnonzero(other.labels[:, 1] == value)[0] for value in (1, 0))
    other.labels[[ill, well]] = other.labels[[well, ill]]  # as many of each as before
    moved = replace(films, vectors=films.vectors + np.float32(1e-3))
    renamed = replace(films, patients=films.patients + 1000)
    swapped = replace(films, patients=films.patients[::-1].copy())
    digests = {one.source(SMALL).digest for one in (films, other, moved, renamed, swapped)}
    assert len(digests) == 5


def test_a_rare_finding_says_how_rare_and_what_would_do() -> None:
    films = hospital(400, 150)
    films.labels[:, 2] = 0
    films.labels[:7, 2], films.labels[:7, 3] = 1, 0
    plan = TaskPlan(pool=100, query=6)
    n_normal = int((films.labels[:, 3] == 1).sum())
    message = (
        rf"Fracture is too rare: 7 images of \d patients have it and {n_normal} of \d+ are "
        r"negatives, for a pool of 50 with and 50 without and a query of 3 and 3 that share no "
        r"patient; a pool of (\d) or a prevalence of (0\.\d+) would do"
    )
    with pytest.raises(UsageError, match=message) as caught:
        films.source(plan)
    pool, prevalence = re.findall(message, str(caught.value))[0]
    films.source(replace(plan, pool=int(pool))).batch(range(50))
    films.source(replace(plan, prevalence=float(prevalence))).batch(range(50))
    with pytest.raises(UsageError, match="Fracture is too rare"):
        films.source(replace(plan, pool=int(pool) + 1))


def test_other_rare_findings_are_named_too() -> None:
    films = hospital(100, 100)
    films.labels[:, 1:3] = 0
    with pytest.raises(
        UsageError,
        match=r"Pneumonia is too rare: 0 images of 0 patients .* no smaller pool would do; or ask "
        r"about other findings \(too rare as well: Fracture\)",
    ):
        films.source(SMALL)


def test_few_patients_are_too_few_even_with_many_images() -> None:
    films = hospital(400, 3)
    with pytest.raises(UsageError, match=r"Edema is too rare: .* images of 3 patients have it"):
        films.source(SMALL)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"negatives": "others"}, "negatives 'others' are not known; choose from 'no finding'"),
        ({"prevalence": 0.0}, "a prevalence must be above 0 and below 1; got 0.0"),
        ({"query_prevalence": 1.0}, "a prevalence must be above 0 and below 1; got 1.0"),
        ({"pool": 1}, "a pool needs images with the finding and without; got 1 with and 0 without"),
        ({"query": 0}, "a query needs images .* got 0 with and 0 without"),
        (
            {"findings": ("Edema", "Mass"), "held_out": ("Oedema",)},
            "Edema cannot be both asked about and held out",
        ),
    ],
)
def test_a_plan_that_cannot_be_says_so(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        TaskPlan(**options)


@pytest.mark.parametrize(
    ("plan", "message"),
    [
        (replace(SMALL, findings=("Mass",)), "no finding 'Mass' here; there are Edema"),
        (replace(SMALL, held_out=("Mass",)), "no finding 'Mass' here; there are Edema"),
        (replace(SMALL, findings=("No Finding",)), "No Finding cannot be asked about while"),
    ],
)
def test_findings_that_cannot_be_asked_about_are_refused(plan: TaskPlan, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        hospital().source(plan)


@pytest.mark.parametrize(
    ("value", "what"), [(np.nan, "not finite"), (np.inf, "not finite"), (0.0, "zero")]
)
def test_vectors_without_a_direction_are_refused(value: float, what: str) -> None:
    films = hospital()
    films.vectors[[3, 50]] = value
    with pytest.raises(UsageError, match=f"2 of 400 vectors are {what}, the first .* row 3"):
        films.source(SMALL)


def test_uncertain_labels_need_a_policy() -> None:
    films = hospital()
    films.labels[0, 0] = -1
    with pytest.raises(UsageError, match="labels must be 1, 0 or NaN: choose a policy"):
        films.source(SMALL)


def test_arrays_that_do_not_fit_are_refused() -> None:
    films = hospital()
    with pytest.raises(ValueError, match=r"got \(399, 8\), \(400, 4\) and \(400,\)"):
        Hospital(films.vectors[1:], films.labels, films.patients).source(SMALL)
    mixed: NDArray[Any] = np.array(["a", None] * 200)
    with pytest.raises(ValueError, match="all be names or all whole numbers; got object"):
        TaskSource.of(films.vectors, films.labels, mixed, FINDINGS, SMALL)


def test_sources_that_share_a_patient_are_refused() -> None:
    films = hospital()
    sources = [
        Hospital(films.vectors[keep], films.labels[keep], films.patients[keep]).source(SMALL)
        for keep in (films.patients < 70, films.patients >= 70, films.patients > 147)
        if keep.sum() > 20
    ]
    refuse_shared_patients(*sources)
    late = replace(sources[0], people=frozenset({148, 149}))
    with pytest.raises(LeakError, match=r"2 patients are in both source 2 and source 3 .*148, 149"):
        refuse_shared_patients(*sources, late)


# --------------------------------------------------------------------------- from a collection


@pytest.fixture(scope="module")
def collection(tmp_path_factory: pytest.TempPathFactory) -> Collection:
    root = tmp_path_factory.mktemp("tasks")
    source = small_source(root / "source", 48, split=True)
    made = ingest(source.root, root / "c", layout="folder", size=20, workers=1).collection
    vectors = np.random.default_rng(0).normal(size=(48, 5)).astype(np.float32)
    made = made.add_embedding("net", [(source.ids, vectors)], EmbeddingInfo(5, "a" * 64, "net"))
    vectors = vectors.copy()
    vectors[5] = 0
    return made.add_embedding("bad", [(source.ids, vectors)], EmbeddingInfo(5, "b" * 64, "bad"))


def test_tasks_from_a_collection_are_those_of_its_arrays(collection: Collection) -> None:
    plan = TaskPlan(4, 2, findings=("Edema",), negatives="rest")
    view = collection.where("split <> 'test'")
    source = labelled_vectors(view, "net", "split <> 'test'", "positive").tasks(plan, 3)
    labels = view.labels(policy="positive")
    by_hand = TaskSource.of(
        view.vectors("net")[1], labels.values, list(labels.extra["patient_id"]),  # type: ignore[arg-type]
        labels.findings, plan, 3,
    )  # fmt: skip
    assert all(same(source.draw(index), by_hand.draw(index)) for index in range(20))
    assert source.people == set(labels.extra["patient_id"])
    refuse_shared_patients(source, labelled_vectors(collection, "net", "test").tasks(plan))


def test_an_uncertain_label_counts_as_the_policy_says(collection: Collection) -> None:
    plan = TaskPlan(4, 2, findings=("Edema",), negatives="rest")
    edema = collection.labels(findings=["Edema"]).values[:, 0]
    for policy, values in (("ignore", {1}), ("positive", {1, -1})):
        source = labelled_vectors(collection, "net", ALL, policy).tasks(plan)  # type: ignore[arg-type]
        assert set(edema[list(rows_by_label(source)[1])]) == values
    with pytest.raises(UsageError, match="choose what an uncertain label counts as"):
        labelled_vectors(collection, "net", ALL, "keep")


def test_a_collection_names_its_faulty_image(collection: Collection) -> None:
    with pytest.raises(UsageError, match="1 of 48 vectors are zero, the first is that of 'i0005'"):
        labelled_vectors(collection, "bad", ALL)
    with pytest.raises(CollectionError, match="other"):
        labelled_vectors(collection, "other", ALL)
