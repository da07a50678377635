"""Thresholds: against every cut tried one by one, hand-worked cases, laws, real scores."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray

import reference_calibration as reference
from hilum.errors import TableError, UsageError
from hilum.evaluate.rules import CRITERIA, RULES, Choice, Rule, choose, cuts, parse_rule
from hilum.evaluate.thresholds import (
    Thresholds,
    choose_thresholds,
    fixed_thresholds,
    read_thresholds,
    write_thresholds,
)
from hilum.evaluate.tuning import known, known_in, refuse_overlap
from hilum.tables import Table, align, read_table

Floats = NDArray[np.float64]

NAN = float("nan")


def choose_threshold(scores: Any, truth: Any, rule: Rule) -> Choice:
    return choose(known(np.asarray(scores, np.float64), np.asarray(truth, np.float64)), rule)


@st.composite
def cases(draw: st.DrawFn) -> tuple[Floats, Floats]:
    """Few distinct scores, so that ties of scores and of criteria are common; both classes."""
    n = draw(st.integers(2, 24))
    scores = draw(arrays.arrays(np.float64, n, elements=st.integers(-6, 6).map(float)))
    truth = draw(arrays.arrays(np.float64, n, elements=st.sampled_from([0.0, 1.0])))
    truth[:2] = (0.0, 1.0)
    return scores, truth


targets = st.integers(1, 20).map(lambda twentieths: twentieths / 20)


@pytest.mark.parametrize("name", ["mcc", "f1", "youden"])
@pytest.mark.parametrize("corners_only", [False, True])
@given(case=cases())
@settings(max_examples=60)
def test_the_best_cut_is_that_of_the_whole_roc_curve_the_lowest_of_equals(
    name: str, corners_only: bool, case: tuple[Floats, Floats]
) -> None:
    ours = choose_threshold(*case, Rule(name)).threshold
    if corners_only and name == "youden":  # its ties lie on straight stretches of the curve
        lowest = reference.best_by_roc(name, *case, corners_only=True)
        best = [reference.exact_youden(reference.counts_at(t, *case)) for t in (ours or 0, lowest)]
        assert best[0] == best[1]
    else:
        assert ours == reference.best_by_roc(name, *case, corners_only=corners_only)


@given(case=cases(), target=targets)
def test_a_wanted_sensitivity_is_met_at_the_highest_threshold(
    case: tuple[Floats, Floats], target: float
) -> None:
    choice = choose_threshold(*case, Rule("sensitivity", target))
    assert choice.threshold == reference.highest_sensitive(target, *case)
    assert choice.reached == choice.sensitivity
    assert (choice.sensitivity or 0) >= target


@given(case=cases(), target=targets)
def test_a_wanted_specificity_is_met_at_the_lowest_threshold_or_not_at_all(
    case: tuple[Floats, Floats], target: float
) -> None:
    choice = choose_threshold(*case, Rule("specificity", target))
    assert choice.threshold == reference.lowest_specific(target, *case)
    assert (choice.reason is None) == (choice.threshold is not None)
    assert choice.reached == choice.specificity


@given(case=cases(), name=st.sampled_from([*RULES]), target=targets)
def test_the_threshold_moves_with_the_scores_and_not_with_the_order(
    case: tuple[Floats, Floats], name: str, target: float
) -> None:
    rule = Rule(name, target if name in ("sensitivity", "specificity") else None)
    scores, truth = case
    choice = choose_threshold(scores, truth, rule)
    moved = choose_threshold(np.exp(scores)[::-1], truth[::-1], rule)
    expected = None if choice.threshold is None else float(np.exp(choice.threshold))
    assert moved == replace(choice, threshold=expected)


@given(cases())
def test_each_cut_counts_every_image_once(case: tuple[Floats, Floats]) -> None:
    found = cuts(known(*case))
    counts = np.stack([found.counts.tp, found.counts.fp, found.counts.fn, found.counts.tn], 1)
    slow = [reference.counts_at(t, *case) for t in found.thresholds]
    assert counts.tolist() == [list(row) for row in slow]


SCORES, TRUTH = [0.9, 0.8, 0.7, 0.6, 0.5, 0.4], [1, 0, 1, 1, 0, 0]


@pytest.mark.parametrize(
    ("rule", "choice"),
    [
        # at .6: TP 3, FP 1, FN 0, TN 2
        ("mcc", Choice(0.6, 6, 3, 6 / np.sqrt(4 * 2 * 3 * 3), 1.0, 2 / 3)),
        ("f1", Choice(0.6, 6, 3, 6 / 7, 1.0, 2 / 3)),
        ("youden", Choice(0.6, 6, 3, 2 / 3, 1.0, 2 / 3)),
        ("sensitivity=0.34", Choice(0.7, 6, 3, 2 / 3, 2 / 3, 2 / 3)),
        ("sensitivity=1", Choice(0.6, 6, 3, 1.0, 1.0, 2 / 3)),
        ("specificity=0.66", Choice(0.6, 6, 3, 2 / 3, 1.0, 2 / 3)),
        ("specificity=1", Choice(0.9, 6, 3, 1.0, 1 / 3, 1.0)),
        ("0.75", Choice(0.75)),
    ],
)
def test_hand_worked_thresholds(rule: str, choice: Choice) -> None:
    found = choose_threshold(SCORES, TRUTH, parse_rule(rule))
    assert found.threshold == choice.threshold
    assert (found.n, found.positives) == (choice.n, choice.positives)
    assert found.reached == pytest.approx(choice.reached)
    assert found.sensitivity == pytest.approx(choice.sensitivity)
    assert found.specificity == pytest.approx(choice.specificity)


def test_of_two_equally_good_thresholds_the_lower_is_taken() -> None:
    # at .9: one of two positives, no false alarm; at .3: both, one of two negatives: Youden 1/2
    assert choose_threshold([0.9, 0.5, 0.3, 0.1], [1, 0, 1, 0], Rule("youden")).threshold == 0.3


@pytest.mark.parametrize(
    ("name", "truth", "lowest"),
    [
        ("youden", [1, 0, 1, 1, 1, 0, 1, 1], 4),  # 1/6 + 2/2 - 1 at 8, 4/6 + 1/2 - 1 at 4
        ("mcc", [0, 0, 1, 0, 0, 0, 0, 1, 0], 2),  # 3/√252 at 7, 2/√112 at 2
    ],
)
def test_rounding_does_not_decide_between_equals(
    name: str, truth: list[float], lowest: float
) -> None:
    scores = np.arange(len(truth), 0, -1)
    assert choose_threshold(scores, truth, Rule(name)).threshold == lowest


def test_unknown_labels_take_no_part_in_choosing() -> None:
    found = choose_threshold([*SCORES, 0.65, NAN], [*TRUTH, NAN, NAN], Rule("mcc"))
    assert found == choose_threshold(SCORES, TRUTH, Rule("mcc"))


def test_a_specificity_beyond_the_highest_score_is_not_invented() -> None:
    found = choose_threshold([0.9, 0.9, 0.9, 0.1], [1, 0, 0, 0], Rule("specificity", 0.5))
    assert (found.threshold, found.n, found.positives) == (None, 4, 1)
    assert found.reason == (
        "no observed score reaches specificity=0.5: at the highest, specificity is 0.333"
    )


def test_scores_worse_than_chance_end_in_calling_everything_positive() -> None:
    found = choose_threshold([0.1, 0.2, 0.8, 0.9], [1, 1, 0, 0], Rule("mcc"))
    assert (found.threshold, found.reached) == (0.1, None)
    assert (found.sensitivity, found.specificity) == (1.0, 0.0)


@pytest.mark.parametrize(
    ("truth", "reason"),
    [
        ([1, 1, 1], "none of the 3 known labels is negative"),
        ([0, 0, NAN], "none of the 2 known labels is positive"),
        ([NAN, NAN, NAN], "no image has a known label"),
    ],
)
def test_one_class_has_no_threshold_and_says_why(truth: list[float], reason: str) -> None:
    found = choose_threshold([0.1, 0.2, 0.3], truth, Rule("f1"))
    assert (found.threshold, found.reached, found.reason) == (None, None, reason)


@pytest.mark.parametrize(
    ("scores", "truth", "message"),
    [
        ([0.1, 0.2], [1], r"of one length; got shapes \(2,\) and \(1,\)"),
        ([0.1, 0.2], [1, -1], "truth must be 1, 0 or NaN: decide about uncertain labels"),
        ([0.1, NAN], [1, 0], "a score is NaN or infinite where the truth is known"),
        ([0.1, np.inf], [1, 0], "a score is NaN or infinite where the truth is known"),
    ],
)
def test_what_cannot_be_cut_is_refused(
    scores: list[float], truth: list[float], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        choose_threshold(scores, truth, Rule("mcc"))


@pytest.mark.parametrize("name", RULES)
def test_every_rule_has_a_criterion_and_is_read_as_it_is_written(name: str) -> None:
    rule = Rule(name, 0.95 if name in ("sensitivity", "specificity") else None)
    assert parse_rule(str(rule)) == rule
    assert name in CRITERIA


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        (" mcc ", Rule("mcc")),
        ("sensitivity = 0.95", Rule("sensitivity", 0.95)),
        ("specificity=1", Rule("specificity", 1.0)),
        ("0.5", Rule("fixed", 0.5)),
        ("-1.25", Rule("fixed", -1.25)),
        ("0", Rule("fixed", 0.0)),
    ],
)
def test_rules_as_users_write_them(text: str, rule: Rule) -> None:
    assert parse_rule(text) == rule
    assert parse_rule(str(rule)) == rule


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("mmc", "'mmc' is not a rule for thresholds; choose mcc, f1, youden, sensitivity=0.95 or"),
        ("auc=3", "'auc' is not a rule for thresholds; choose mcc"),
        ("", "'' is not a rule for thresholds; choose mcc"),
        ("sensitivity", "the rule 'sensitivity' needs a target; choose mcc"),
        ("fixed", "the rule 'fixed' needs a target; choose mcc"),
        ("specificity=", "the target of 'specificity' must be a number, got ''"),
        ("specificity=high", "the target of 'specificity' must be a number, got 'high'"),
        ("sensitivity=0", "the target of 'sensitivity' must be above 0 and at most 1, got 0.0"),
        ("sensitivity=95", "the target of 'sensitivity' must be above 0 and at most 1, got 95.0"),
        ("sensitivity=nan", "the target of 'sensitivity' must be above 0 and at most 1, got nan"),
        ("mcc=0.5", "the rule 'mcc' takes no target, got 0.5"),
        ("mcc=x", "the target of 'mcc' must be a number, got 'x'"),
        ("nan", "a fixed threshold must be a finite number, got nan"),
        ("inf", "a fixed threshold must be a finite number, got inf"),
    ],
)
def test_a_rule_that_cannot_be_used_is_refused(text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        parse_rule(text)


def table(ids: str, **columns: list[float]) -> Table:
    return Table(tuple(ids), tuple(columns), np.array([*columns.values()], dtype=float).T)


def test_tables_are_joined_by_id_and_by_name() -> None:
    scores = table("dcba", Mass=[0.1, 0.4, 0.6, 0.9], Edema=[1, 2, 3, 4], Hernia=[0, 0, 0, 0])
    truth = table("abcd", Edema=[0, 0, 1, -1], Mass=[1, 1, 0, 0], Nodule=[1, 1, 1, 1])
    found = choose_thresholds(scores, truth, "mcc", source="val.csv")
    assert (found.rule, found.source, found.optimistic) == ("mcc", "val.csv", None)
    assert {name: choice.threshold for name, choice in found.findings.items()} == {
        "Edema": 2.0,  # a and b are 4 and 3, c is 2: worse than chance, all called positive
        "Mass": 0.6,
    }
    assert found.findings["Edema"].n == 3
    positive = choose_thresholds(scores, truth, Rule("mcc"), "positive").findings["Edema"]
    assert (positive.n, positive.positives) == (4, 2)


def test_what_a_finding_lacks_is_told() -> None:
    scores = table("abc", Mass=[0.1, 0.4, 0.6], Edema=[NAN, NAN, NAN], Nodule=[1, 2, 3])
    scores = replace(scores, notes={"Edema": "not trained"})
    truth = table("abc", Mass=[0, 0, 0], Edema=[0, 1, 0], Nodule=[1, 0, 0])
    found = choose_thresholds(scores, truth, "mcc")
    found = replace(found, optimistic="Tuned on what is reported.")
    assert found.remarks() == [
        "Tuned on what is reported.",
        "Mass: no threshold, none of the 3 known labels is positive.",
        "Edema: no threshold, no scores: not trained.",
        "Nodule: the threshold calls every validation image positive.",
    ]
    assert found.numbers() == {"Nodule": 1.0}
    assert found.of("Hernia").reason == "the validation table has none for it"
    assert json.loads(json.dumps(found.to_json()))["findings"]["Nodule"] == {
        "threshold": 1.0, "n": 3, "positives": 1, "reached": None, "sensitivity": 1.0,
        "specificity": 0.0, "reason": None,
    }  # fmt: skip
    nobody = choose_thresholds(table("ab", Mass=[2, 1]), table("ab", Mass=[0, 1]), "1.5")
    assert nobody.remarks() == []
    useless = choose_thresholds(
        table("abc", Mass=[3, 2, 1]), table("abc", Mass=[0, 0, 1]), "specificity=0.5"
    )
    assert useless.remarks() == ["Mass: the threshold finds no positive validation image."]


def test_decisions_are_at_or_above_the_threshold_and_unknown_where_either_is() -> None:
    thresholds = Thresholds({"Mass": Choice(0.5), "Edema": Choice(None, reason="why")}, "mcc", "v")
    scores = table("abc", Mass=[0.5, 0.4999, NAN], Edema=[1, 1, 1], Nodule=[1, 1, 1])
    decisions = thresholds.apply(scores)
    np.testing.assert_array_equal(decisions.column("Mass"), [1, 0, NAN])
    assert np.isnan(decisions.values[:, 1:]).all()
    assert decisions.notes == {
        "Edema": "no threshold: why",
        "Nodule": "no threshold: v has none for it",
    }


def test_a_fixed_threshold_is_not_tuned() -> None:
    fixed = fixed_thresholds(0.5, ["Mass"])
    scores, truth = table("ab", Mass=[1, 2]), table("ab", Mass=[1, 1])
    assert fixed == choose_thresholds(scores, truth, "0.5")
    assert fixed == Thresholds({"Mass": Choice(0.5)}, "0.5", "a fixed number")
    with pytest.raises(UsageError, match="a fixed threshold must be a finite number, got nan"):
        fixed_thresholds(NAN, ["Mass"])


def test_tables_that_cannot_be_tuned_on_are_refused() -> None:
    scores, truth = table("abcd", Mass=[1, NAN, 2, NAN]), table("dabc", Mass=[NAN, 0, 1, 1])
    with pytest.raises(TableError, match=r"Mass has no score for 1 of the 3 .* first is 'b'; sc"):
        known_in(scores, truth, "ignore")
    with pytest.raises(TableError, match=r"truth of 'b' for Mass is 0.5: expected 1, 0, -1"):
        known_in(scores, table("ab", Mass=[0, 0.5]), "ignore")
    with pytest.raises(TableError, match="1 of the truth's 2 ids have no score, the first is 'x'"):
        known_in(scores, table("ax", Mass=[0, 1]), "ignore")
    with pytest.raises(UsageError, match="nothing can be fitted to an uncertain label: choose"):
        known_in(scores, truth, "keep")
    with pytest.raises(UsageError, match="'maybe' is not a label policy"):
        known_in(scores, truth, "maybe")  # type: ignore[arg-type]


def of_patients(ids: str, patients: list[str | None]) -> Table:
    whole = table(ids, Mass=[0] * len(ids))
    return replace(whole, extra={"patient_id": tuple(patients)})


def test_tables_without_a_common_image_or_patient_pass_the_guard() -> None:
    assert refuse_overlap(table("ab", Mass=[0, 1]), table("cd", Mass=[0, 1])) is None
    apart = of_patients("ab", ["1", None]), of_patients("cd", ["2", None])
    assert refuse_overlap(*apart) is None
    # where only one table has patients there is nothing to compare
    assert refuse_overlap(table("ab", Mass=[0, 1]), of_patients("cd", ["1", "2"])) is None


def test_a_common_image_is_named_and_counted() -> None:
    validation, reported = table("abc", Mass=[0, 1, 1]), table("cbd", Mass=[0, 1, 1])
    message = (
        r"than it is\. On both sides: 2 of the 3 validation images; the first image is 'b'\. Leave "
        r"them out .* tune_on_reported=True \(--tune-on-reported\), which marks the result"
    )
    with pytest.raises(UsageError, match=message):
        refuse_overlap(validation, reported)
    assert refuse_overlap(validation, reported, tune_on_reported=True) == (
        "Tuned on what is reported (2 of the 3 validation images on both sides): the figures are "
        "optimistic."
    )


def test_a_common_patient_is_counted_and_never_named() -> None:
    validation = of_patients("abc", ["MRN7", "MRN7", "MRN8"])
    with pytest.raises(UsageError, match=r"On both sides: 1 patient\. Leave") as caught:
        refuse_overlap(validation, of_patients("de", ["MRN7", None]))
    assert "MRN" not in str(caught.value)
    with pytest.raises(UsageError, match="1 of the 3 validation images and 2 patients; the"):
        refuse_overlap(validation, of_patients("ad", ["MRN7", "MRN8"]))


def test_a_decision_rule_travels_as_a_file(tmp_path: Path) -> None:
    chosen = Thresholds(
        {"Mass": Choice(0.1 + 0.2), "Pleural Effusion": Choice(None, reason="one class")}, "f1", "v"
    )
    path = tmp_path / "thresholds.csv"
    write_thresholds(chosen, path)
    assert path.read_text() == "finding,threshold\nMass,0.30000000000000004\nPleural Effusion,\n"
    read = read_thresholds(path)
    assert read.findings["Mass"] == Choice(0.1 + 0.2)
    empty = "its cell in thresholds.csv is empty"
    assert read.findings["Pleural Effusion"] == Choice(None, reason=empty)
    assert (read.rule, read.source) == ("given", "thresholds.csv")


def test_no_thresholds_at_all_are_not_written(tmp_path: Path) -> None:
    with pytest.raises(TableError, match="a table needs rows"):
        write_thresholds(fixed_thresholds(0.5, []), tmp_path / "t.csv")


def test_a_file_of_thresholds_knows_the_findings_by_any_spelling(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("note,threshold,finding\nx,0.5,effusion\ny,-1,My own finding\n")
    found = read_thresholds(path).findings
    assert found == {"Pleural Effusion": Choice(0.5), "My own finding": Choice(-1.0)}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("finding,cut\nMass,1\n", r"t.csv: no column for the finding 'threshold'; .*finding, cut "
                                  r"\(thresholds: the columns finding and threshold\)"),
        ("threshold\n1\n", r"t.csv: no column 'finding'; the columns are threshold \(thresholds"),
        ("finding,threshold\n", "t.csv: the table has a header but no rows"),
        ("", "t.csv: the file is empty"),
        ("finding,threshold\nMass,0.5\nEdema,half\n", r"t.csv:3:threshold: expected .* 'half'"),
        ("finding,threshold\nMass,inf\n", r"t.csv:2:threshold: expected a finite .* got 'inf'"),
        ("finding,threshold\nMass\n", "t.csv:2: expected 2 cells as in the header, got 1"),
        ("finding,threshold\nMass,1\nMass,2\n", "t.csv:3:finding: the id 'Mass' is already on"),
        ("finding,threshold\nEffusion,1\nPleural Effusion,2\n",
         "t.csv: 'Pleural Effusion' has two rows, one of them 'Pleural Effusion'; keep one"),
    ],
)  # fmt: skip
def test_a_file_that_is_no_table_of_thresholds_is_refused(
    text: str, message: str, tmp_path: Path
) -> None:
    path = tmp_path / "t.csv"
    path.write_text(text)
    with pytest.raises(TableError, match=message):
        read_thresholds(path)


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TableError, match=r"t.csv: cannot be read: .*No such file"):
        read_thresholds(tmp_path / "t.csv")


@pytest.mark.parametrize("name", ["Consolidation", "Edema"])
def test_chexzeros_sentence_on_a_published_model(name: str, data_dir: Path) -> None:
    folder = data_dir / "chexpert-test-labels"
    scores = read_table(folder / "predictions" / "jfaboy_predictions.csv", "Study", [name])
    truth = read_table(folder / "groundtruth.csv", "Study", [name])
    ours = choose_thresholds(scores, truth, "mcc").findings[name]
    both = align(scores, truth)
    column = both.scores.column(name), both.truth.column(name)
    best = reference.best_by_roc("mcc", *column)
    assert ours.threshold == best
    squared = reference.signed_square_mcc(reference.counts_at(best, *column))
    assert ours.reached == pytest.approx(float(squared) ** 0.5)
