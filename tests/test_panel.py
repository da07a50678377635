"""Radiologists beside the model: who is measured on what, and what separates them."""

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

import reference_panel as reference
from hilum.errors import TableError, UsageError
from hilum.evaluate import Measure, Plan, evaluate
from hilum.evaluate.agreement import kappa
from hilum.evaluate.decisions import STATISTICS, mcc
from hilum.evaluate.instruments import Limit
from hilum.evaluate.multiplicity import holm
from hilum.evaluate.noninferiority import NO_ERROR
from hilum.evaluate.orh import NO_SPREAD
from hilum.evaluate.panel import Panel, panel
from hilum.evaluate.scorecard import Scorecard
from hilum.evaluate.studies import MEAN
from hilum.tables import Table
from reference import bootstrap_by_loop
from reference_panel import FINDINGS, LIMIT, Floats, case, table


def panel_of(
    scores: Table, truth: Table, readers: Mapping[str, Table], *args: Any, **settings: Any
) -> Panel:
    """Measure readers beside a model whose threshold is `LIMIT`."""
    settings = {"threshold": LIMIT, "bootstrap": 0, **settings}
    found = evaluate(scores, truth, *args, readers=readers, **settings).panel
    assert found is not None
    return found


def numbers(card: Scorecard, statistic: str) -> list[float]:
    """Return the estimates of all findings and of their mean, NaN where undefined."""
    measures = [found.measures[statistic] for found in card.findings.values()]
    measures.append(card.mean[statistic])
    return [np.nan if m.estimate is None else m.estimate for m in measures]


# one rater at a time


@pytest.mark.parametrize("policy", ["ignore", "positive", "negative"])
def test_readers_are_counted_image_by_image(policy: Any) -> None:
    scores, truth, readers = case()
    values = readers["a"].values.copy()
    values[::7] = -1
    readers["a"] = table(values)
    uncertain = {"ignore": np.nan, "positive": 1, "negative": 0}[policy]
    found = panel_of(scores, truth, readers, policy=policy)
    for name, card in found.readers.items():
        said = readers[name].values.copy()
        said[said == -1] = uncertain
        for at, finding in enumerate(FINDINGS):
            expected = reference.readings(said[:, at], truth.values[:, at])
            tp, fp, fn, tn = reference.counts(said[:, at], truth.values[:, at])
            own = card.findings[finding]
            assert (own.n, own.positives) == (tp + fp + fn + tn, tp + fn)
            for statistic, value in expected.items():
                assert own.measures[statistic].estimate == pytest.approx(value, rel=1e-12)


def test_the_model_is_measured_on_the_images_that_each_reader_has_read() -> None:
    scores, truth, readers = case(unread=0.3)
    found = panel_of(scores, truth, readers)
    called = (scores.values >= LIMIT).astype(float)
    for at, finding in enumerate(FINDINGS):
        said = np.array([reader.values[:, at] for reader in readers.values()])
        assert found.difference is not None
        for statistic in STATISTICS:
            expected = reference.gap(statistic, called[:, at], said, truth.values[:, at])
            measure = found.difference.findings[finding].measures[statistic]
            assert measure.estimate == pytest.approx(expected, abs=1e-12)
    # and not the model on all images minus the readers on theirs
    model = evaluate(scores, truth, threshold=LIMIT, bootstrap=0)
    plain = np.subtract(numbers(model, "f1"), numbers(found.mean, "f1"))
    assert found.difference is not None
    assert np.abs(plain - np.array(numbers(found.difference, "f1"))).max() > 0.005


def test_means_of_readers_are_means_of_their_numbers() -> None:
    found = panel_of(*case())
    for statistic in STATISTICS:
        each = [numbers(card, statistic) for card in found.readers.values()]
        assert numbers(found.mean, statistic) == pytest.approx(np.mean(each, axis=0).tolist())


def test_the_interval_of_the_difference_is_that_of_all_of_them_drawn_together() -> None:
    scores, truth, readers = case(n=40, unread=0.2)
    found = panel_of(scores, truth, readers, bootstrap=60, seed=3)
    column = FINDINGS.index("Mass")
    called = (scores.values[:, column] >= LIMIT).astype(float)
    said = np.array([reader.values[:, column] for reader in readers.values()])

    def score(drawn: Floats, labels: Floats) -> float:
        return reference.gap("mcc", drawn[:, 0], drawn[:, 1:].T, labels)

    everyone = np.vstack([called, said]).T
    units = [at // 2 for at in range(40)]
    replicates = bootstrap_by_loop(score, everyone, truth.values[:, column], units, 3, 60)
    assert found.difference is not None
    measure = found.difference.findings["Mass"].measures["mcc"]
    low, high = np.nanquantile(replicates, [0.025, 0.975])
    assert (measure.low, measure.high) == pytest.approx((low, high), abs=1e-12)
    below = min((replicates <= 0).sum(), (replicates >= 0).sum())
    assert measure.p_value == pytest.approx(2 * (below + 1) / 61)


def test_chexzeros_resamples_hold_1_for_an_undefined_f1_and_0_for_an_undefined_mcc() -> None:
    truth, said = np.zeros(30), np.zeros(30)
    truth[:2], said[1:3] = 1, 1
    one = Table(table(np.zeros((30, 1)), ("Mass",)).ids, ("Mass",), truth[:, None])
    reader = Table(one.ids, one.findings, said[:, None])
    found = panel_of(one, one, {"a": reader}, interval="chexzero", bootstrap=100)
    for name, value in (("f1", 1.0), ("mcc", 0.0)):

        def filled(called: Floats, labels: Floats, name: str = name, value: float = value) -> float:
            return float(np.nan_to_num(reference.readings(called, labels)[name], nan=value))

        replicates = np.sort(reference.chexzero_by_loop(filled, said, truth, 100))
        measure = found.readers["a"].findings["Mass"].measures[name]
        assert measure.bootstrap_mean == pytest.approx(replicates.mean())
        ends = (replicates[1], replicates[96])
        assert (measure.low, measure.high) == pytest.approx(ends)
        assert measure.undefined == 0


# laws


@st.composite
def panels(draw: st.DrawFn) -> tuple[Table, Table, dict[str, Table]]:
    """Few images with any readings at all, uncertain and unknown ones among them."""
    n = draw(st.integers(4, 12))
    cells = st.sampled_from([0.0, 1.0, 1.0, 0.0, np.nan, -1.0])

    def any_table(elements: st.SearchStrategy[float]) -> Table:
        return table(draw(arrays.arrays(np.float64, (n, 2), elements=elements)), FINDINGS[:2])

    readers = {name: any_table(cells) for name in "abc"[: draw(st.integers(2, 3))]}
    scores = any_table(st.integers(0, 4).map(lambda score: score / 4))
    return scores, any_table(cells), readers


@settings(max_examples=25, deadline=None)
@given(panels())
def test_the_order_of_readers_rows_and_columns_changes_nothing(
    drawn: tuple[Table, Table, dict[str, Table]],
) -> None:
    scores, truth, readers = drawn
    turned = {
        name: readers[name].take(np.arange(len(truth))[::-1]).select(FINDINGS[1::-1])
        for name in reversed(readers)
    }
    plain, other = (
        panel_of(scores, truth, tables, bootstrap=20, margin=0.1) for tables in (readers, turned)
    )
    assert plain.readers == {name: other.readers[name] for name in readers}
    assert plain.majority == other.majority
    for one, two in (
        (plain.mean, other.mean),
        (plain.agreement, other.agreement),
        (plain.difference, other.difference),
    ):
        assert one is not None
        assert two is not None
        assert_close(one, two)
    assert plain.studies.keys() == other.studies.keys()
    assert plain.verdicts.keys() == other.verdicts.keys()


def assert_close(one: Scorecard, two: Scorecard) -> None:
    assert one.n_in_mean == two.n_in_mean
    for name, found in one.findings.items():
        again = two.findings[name]
        assert (found.n, found.positives) == (again.n, again.positives)
        for statistic, measure in found.measures.items():
            assert_measures_close(measure, again.measures[statistic])
    for statistic, measure in one.mean.items():
        assert_measures_close(measure, two.mean[statistic])


def assert_measures_close(one: Measure, two: Measure) -> None:
    assert one.undefined == two.undefined
    for name in ("estimate", "low", "high", "p_value"):
        assert getattr(one, name) == pytest.approx(getattr(two, name), abs=1e-12), name


@settings(max_examples=25, deadline=None)
@given(panels())
def test_readers_who_read_as_the_model_does_do_not_differ_from_it(
    drawn: tuple[Table, Table, dict[str, Table]],
) -> None:
    scores, truth, readers = drawn
    twin = table((scores.values >= LIMIT).astype(float), scores.findings)
    twins = dict.fromkeys(readers, twin)
    found = panel_of(scores, truth, twins, bootstrap=20, margin=0.1)
    assert found.difference is not None
    for own in found.difference.findings.values():
        for m in own.measures.values():
            assert (m.estimate, m.low, m.high, m.p_value) in (
                (0, 0, 0, 1),
                (0, None, None, None),
                (None, None, None, None),
            )
    for study in flat(found.studies):
        assert (study.difference.estimate, study.difference.reason) == (0, NO_SPREAD)
    for verdict in flat(found.verdicts):
        these, such = verdict.these_readers, verdict.such_readers
        assert these is not None
        assert (these.noninferior, these.superior) in ((True, False), (None, None))
        assert such is None or (such.noninferior, such.reason) == (None, NO_ERROR)


def flat(places: Mapping[str, Mapping[str, Any]]) -> list[Any]:
    return [found for place in places.values() for found in place.values()]


# what needs two readers


def test_one_reader_has_a_difference_but_no_panel() -> None:
    scores, truth, readers = case(readers=1)
    found = panel_of(scores, truth, readers, bootstrap=50, margin=0.2)
    assert (found.majority, found.agreement, dict(found.studies)) == (None, None, {})
    assert_close(found.mean, found.readers["a"])
    verdict = found.verdicts[MEAN]["mcc"]
    assert verdict.such_readers is None
    assert verdict.these_readers is not None
    assert found.difference is not None
    assert verdict.these_readers.low == pytest.approx(found.difference.mean["mcc"].low)


def test_the_majority_leaves_out_ties_and_what_nobody_has_read() -> None:
    nan = np.nan
    truth = np.array([[1, 1, 0, 0, 1]], dtype=float).T
    votes = {
        "a": [1, 1, 0, 1, nan],
        "b": [1, 0, 1, nan, nan],
        "c": [0, nan, 0, nan, nan],
    }  # positive, a tie, negative, positive, not read
    one = table(truth, ("Mass",))
    readers = {name: table(np.array([cells]).T, ("Mass",)) for name, cells in votes.items()}
    found = panel_of(one, one, readers).majority
    assert found is not None
    own = found.findings["Mass"]
    assert (own.n, own.positives) == (3, 1)
    assert own.measures["sensitivity"].estimate == 1
    assert own.measures["specificity"].estimate == 0.5


def test_agreement_is_kappa_of_the_pairs_whatever_the_truth() -> None:
    scores, truth, readers = case(unread=0.3)
    found = panel_of(scores, truth, readers).agreement
    assert found is not None
    for at, finding in enumerate(FINDINGS):
        a, b, c = (reader.values[:, at] for reader in readers.values())
        expected = np.mean([kappa(a, b), kappa(a, c), kappa(b, c)])
        own = found.findings[finding]
        assert own.measures["kappa"].estimate == pytest.approx(float(expected))
        read = (~np.isnan([a, b, c])).sum(axis=0) >= 2
        assert own.n == read.sum()
        assert own.positives == ((np.array([a, b, c]) == 1).any(axis=0) & read).sum()


def test_agreement_on_one_patients_images_has_no_interval() -> None:
    votes = np.array([[1, 1], [0, 1], [np.nan, 1], [np.nan, 0]])
    readers = {"a": table(votes, FINDINGS[:2]), "b": table(votes, FINDINGS[:2])}
    one = table(np.array([[1, 0], [0, 1], [1, 0], [0, 1]]), FINDINGS[:2])
    found = panel_of(one, one, readers, bootstrap=20).agreement
    assert found is not None
    reason = "no interval: all images that two have read belong to one patient"
    assert found.findings["Edema"].measures["kappa"] == Measure(1, reason=reason)
    assert found.findings["Mass"].measures["kappa"].reason is None


# several findings


def test_the_findings_p_values_of_the_difference_are_corrected_together() -> None:
    scores, truth, readers = case(n=60)
    plain, corrected = (
        panel_of(scores, truth, readers, bootstrap=99, holm=on) for on in (False, True)
    )
    assert plain.difference is not None
    assert corrected.difference is not None
    for statistic in ("f1", "specificity"):
        before, after = (
            [found.measures[statistic] for found in card.findings.values()]
            for card in (plain.difference, corrected.difference)
        )
        p_values = [measure.p_value for measure in before]
        adjusted = holm(np.array(p_values, dtype=float)).tolist()
        assert [measure.p_adjusted for measure in after] == pytest.approx(adjusted)
        assert [measure.p_value for measure in after] == p_values
        assert adjusted != p_values
    assert corrected.mean == plain.mean


# readers of different things


def test_means_are_over_the_findings_that_all_share() -> None:
    scores, truth, readers = case()
    readers["a"] = readers["a"].select(("Mass", "Edema"))
    readers["b"] = readers["b"].select(("Pneumonia", "Mass", "Edema"))
    found = panel_of(scores, truth, readers, bootstrap=20)
    assert list(found.readers["a"].findings) == ["Edema", "Mass"]
    assert list(found.readers["b"].findings) == list(FINDINGS)
    for card in (found.mean, found.majority, found.agreement, found.difference):
        assert card is not None
        assert list(card.findings) == ["Edema", "Mass"]
    assert found.studies.keys() == {"Edema", "Mass", MEAN}
    for card in found.readers.values():
        assert card.n_in_mean["f1"] == 2
        both = [card.findings[name].measures["f1"].estimate for name in ("Edema", "Mass")]
        assert card.mean["f1"].estimate == pytest.approx(np.mean(np.array(both, dtype=float)))
        assert card.mean["f1"].low is not None


def test_a_model_of_fewer_findings_narrows_the_panel_too() -> None:
    scores, truth, readers = case()
    found = panel_of(scores.select(["Mass"]), truth, readers)
    assert list(found.mean.findings) == ["Mass"]
    assert list(found.readers["a"].findings) == list(FINDINGS)


def test_the_mean_of_readers_counts_images_that_one_of_them_has_read() -> None:
    truth = table(np.array([[1], [1], [0], [0]]), ("Mass",))
    nan = np.nan
    readers = {
        "a": table(np.array([[1], [nan], [0], [nan]]), ("Mass",)),
        "b": table(np.array([[0], [1], [1], [nan]]), ("Mass",)),
    }
    for names in ("ab", "ba"):
        found = panel_of(truth, truth, {name: readers[name] for name in names})
        assert found.difference is not None
        for card in (found.mean, found.difference):
            own = card.findings["Mass"]
            assert (own.n, own.positives) == (3, 2)


def test_where_one_reader_is_undefined_the_mean_says_why() -> None:
    truth = table(np.array([[1], [0], [0], [0]]), ("Mass",))
    readers = {
        "a": table(np.array([[1], [0], [0], [0]]), ("Mass",)),
        "b": table(np.array([[0], [0], [0], [0]]), ("Mass",)),
    }
    found = panel_of(truth, truth, readers, bootstrap=20)
    only = "no interval: all positive images belong to one patient"
    assert found.readers["a"].findings["Mass"].measures["mcc"] == Measure(1, reason=only)
    why = "all images have one label or one reading"
    for card in (found.mean, found.difference):
        assert card is not None
        assert card.findings["Mass"].measures["mcc"] == Measure(None, reason=why)
    assert "mcc" not in found.studies.get("Mass", {})


def test_strata_may_be_those_of_a_finding_that_the_readers_did_not_read() -> None:
    scores, truth, readers = case(n=40)
    few = {name: reader.select(["Mass"]) for name, reader in readers.items()}
    for tables in (readers, few):
        found = panel_of(scores, truth, tables, stratify="Edema", bootstrap=30)
        assert found.mean.findings["Mass"].measures["f1"].low is not None
        if tables is readers:
            expected = found.mean.findings["Mass"]
    assert found.mean.findings["Mass"] == expected


# without a model


def test_a_model_without_thresholds_is_not_compared() -> None:
    scores, truth, readers = case(n=40)
    metrics = evaluate(scores, truth, readers=readers, bootstrap=0)
    assert metrics.panel is not None
    assert metrics.panel.difference is None
    assert (metrics.panel.studies, metrics.panel.verdicts) == ({}, {})
    remark = "it has no thresholds (choose some with --threshold)"
    assert any(remark in line for line in metrics.remarks())


def test_a_finding_without_a_threshold_is_not_compared_and_it_says_why() -> None:
    scores, truth, readers = case(n=40)
    few = "no threshold, too few positives"
    limits: dict[str, Limit] = {"Edema": 0.5, "Mass": few}
    found = panel(readers, truth, Plan(bootstrap=20, margin=0.1), scores, limits)
    assert found.difference is not None
    for name, why in (("Mass", few), ("Pneumonia", "no threshold was given")):
        assert found.difference.findings[name].measures["f1"] == Measure(None, reason=why)
    assert found.difference.n_in_mean["f1"] == 1
    assert found.studies.keys() == found.verdicts.keys() == {"Edema", MEAN}
    assert found.mean.n_in_mean["f1"] == 3
    none = dict.fromkeys(FINDINGS, "no threshold, none was tuned")
    assert panel(readers, truth, Plan(bootstrap=0), scores, none).difference is None


def test_a_model_that_has_no_scores_for_a_finding_is_not_compared_on_it() -> None:
    scores, truth, readers = case(n=40)
    values = scores.values.copy()
    values[:, 0] = np.nan
    empty = Table(scores.ids, FINDINGS, values, notes={"Edema": "not trained"})
    found = panel_of(empty, truth, readers)
    assert found.difference is not None
    why = Measure(None, reason="no scores: not trained")
    assert found.difference.findings["Edema"].measures["f1"] == why
    assert found.difference.n_in_mean["f1"] == 2


def test_readers_can_be_measured_alone() -> None:
    _, truth, readers = case(n=40)
    found = panel(readers, truth, Plan(bootstrap=20))
    assert found.difference is None
    assert found.mean.mean["mcc"].low is not None


# faults


def broken(kind: str, reader: Table) -> Table:
    if kind == "misses":
        return reader.take(np.arange(len(reader)) != 7)
    values = reader.values.copy()
    if kind == "grades":
        values[4, 1] = 0.3
    findings = ("Hernia", "Nodule", "Fracture") if kind == "strange" else FINDINGS
    return Table(reader.ids, findings, values)


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("misses", r"^reader 'b': 1 of the truth's 40 ids .* the first is 'i007'"),
        ("grades", r"^reader 'b': the reading of 'i004' for Mass is 0\.3: expected 1, 0, -1 "),
        ("strange", r"^reader 'b': no finding is in both tables: .* have Hernia, Nodule, Fracture"),
    ],
)
def test_a_readers_wrong_table_is_named(kind: str, message: str) -> None:
    scores, truth, readers = case(n=40)
    readers["b"] = broken(kind, readers["b"])
    with pytest.raises(TableError, match=message):
        panel_of(scores, truth, readers)


def test_readers_who_share_no_finding_are_refused() -> None:
    scores, truth, readers = case(n=40, readers=2)
    apart = {"a": readers["a"].select(["Edema"]), "b": readers["b"].select(["Mass"])}
    message = "no finding is in the truth, in the scores and in every reader's table; the first"
    with pytest.raises(TableError, match=rf"^{message} reader and the truth share Edema$"):
        panel_of(scores, truth, apart)
    with pytest.raises(TableError, match=message):
        panel_of(scores.select(["Mass"]), truth, {"a": apart["a"]})


def test_readers_need_statistics_of_readings() -> None:
    scores, truth, readers = case(n=40)
    message = f"^readers are measured by {', '.join(STATISTICS)}; none was asked for$"
    with pytest.raises(UsageError, match=message):
        panel_of(scores, truth, readers, statistics=("auroc",))
    with pytest.raises(UsageError, match=message):
        panel({}, truth, Plan())
    found = panel_of(scores, truth, readers, statistics=("auroc", "mcc"))
    assert found.mean.mean.keys() == {mcc.__name__}


# what is written


def test_every_gap_of_a_panel_has_its_reason_in_the_file() -> None:
    scores, truth, readers = case(n=40)
    silent = np.zeros((40, 3))
    silent[:, 2] = np.nan
    readers |= {"c": table(silent), "d": table(silent)}
    found = evaluate(scores, truth, readers=readers, threshold=LIMIT, bootstrap=20, margin=0.1)
    content = json.loads(json.dumps(found.to_json(), allow_nan=False))
    joined = [content["panel"][name] for name in ("mean", "majority", "model_minus_readers")]
    for card in (*content["readers"].values(), *joined, content["panel"]["agreement"]):
        for name, measures in (*card["findings"].items(), ("mean", card["mean"])):
            for statistic, cell in measures.items():
                if isinstance(cell, dict) and cell["estimate"] is None:
                    assert card["undefined"][name][statistic]["reason"], (name, statistic)
    assert content["panel"]["mean"]["undefined"]["Mass"]["ppv"]["reason"] == (
        "no image was called positive"
    )
    assert content["panel"]["agreement"]["undefined"]["Pneumonia"]["kappa"]["reason"] == (
        "two readers gave all images one and the same answer, or share none"
    )
