"""The files of an evaluation: the same numbers in each, nothing lost, the same bytes twice."""

import csv
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hilum.errors import UsageError
from hilum.evaluate import Measure, Metrics, evaluate
from hilum.evaluate.recalibration import load_calibration
from hilum.evaluate.scorecard import Scorecard
from hilum.evaluate.studies import MEAN
from hilum.evaluate.thresholds import read_thresholds
from hilum.tables import Table
from reference_panel import FINDINGS, case, table

Row = Mapping[str, str]


def everything(seed: int = 0) -> Metrics:
    """Evaluate with all there is; Pneumonia is rare, one reader never sees a Mass."""
    scores, truth, readers = case(120, seed=seed)
    values, blind = truth.values.copy(), readers["c"].values.copy()
    values[:, 2] = 0
    values[3:7, 2] = 1
    blind[:, 1] = 0
    readers["c"] = table(blind)
    sexes = tuple("MF "[at // 2 % 3].strip() or None for at in range(120))
    truth = Table(truth.ids, FINDINGS, values, {**truth.extra, "sex": sexes})
    return evaluate(
        scores, truth, readers=readers, threshold="mcc", calibrate="platt",
        tune_on_reported=True, subgroups=["sex"], bootstrap=40, margin=0.1, holm=True,
    )  # fmt: skip


@pytest.fixture(scope="module")
def found() -> Metrics:
    return everything()


@pytest.fixture(scope="module")
def folder(found: Metrics, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return found.save(tmp_path_factory.mktemp("out") / "of" / "all")


def rows_of(path: Path) -> list[Row]:
    with path.open(encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines))


def assert_row(row: Row, measures: Mapping[str, Measure]) -> None:
    """Compare to the last bit: a float is written so that it is read back."""
    for statistic, measure in measures.items():
        ends = ("", measure.estimate), ("_low", measure.low), ("_high", measure.high)
        for end, value in ends:
            cell = row[statistic + end]
            assert (float(cell) if cell else None) == value


def assert_block(rows: list[Row], card: Scorecard) -> None:
    assert [row["finding"] for row in rows] == [*card.findings, "mean"]
    for row, (name, found) in zip(rows, card.findings.items(), strict=False):
        assert (row["finding"], int(row["n"]), int(row["positives"])) == (
            name, found.n, found.positives,
        )  # fmt: skip
        assert_row(row, found.measures)
    assert (rows[-1]["n"], rows[-1]["positives"]) == ("", "")
    assert_row(rows[-1], card.mean)


def test_there_is_a_file_for_everything_that_there_is(folder: Path, tmp_path: Path) -> None:
    assert {path.name for path in folder.iterdir()} == {
        "metrics.json", "metrics.csv", "readers.csv", "subgroups.csv", "thresholds.csv",
        "calibration.json",
    }  # fmt: skip
    scores, truth, _ = case(20)
    plain = evaluate(scores, truth, bootstrap=0)
    assert plain.save(str(tmp_path / "plain")) == tmp_path / "plain"
    names = {path.name for path in (tmp_path / "plain").iterdir()}
    assert names == {"metrics.json", "metrics.csv"}
    content = json.loads((tmp_path / "plain" / "metrics.json").read_text())
    for name in ("panel", "thresholds", "calibration"):
        assert content[name] is None
    assert (content["readers"], content["subgroups"]) == ({}, {})


def test_the_document_holds_everything_and_only_what_json_has(found: Metrics, folder: Path) -> None:
    text = (folder / "metrics.json").read_text(encoding="utf-8")
    assert json.loads(text, parse_constant=pytest.fail) == found.to_json()
    content = json.loads(text)
    assert content["settings"]["margin"] == 0.1
    assert (content["settings"]["bins"], content["settings"]["holm"]) == (15, True)
    study = content["panel"]["readers_as_random_effects"][MEAN]["f1"]
    assert found.panel is not None
    ours = found.panel.studies[MEAN]["f1"]
    assert study["difference"]["estimate"] == ours.difference.estimate
    assert study["scope"] == "readers like these 3, on cases like these"
    verdict = content["panel"]["noninferiority"][MEAN]["f1"]
    assert verdict["these_readers"]["margin"] == verdict["such_readers"]["margin"] == 0.1
    gap = content["panel"]["model_minus_readers"]["findings"]["Edema"]["f1"]
    assert gap["p_adjusted"] >= gap["p_value"]
    assert content["readers"].keys() == {"a", "b", "c"}
    assert content["subgroups"]["sex"].keys() == {"F", "M", "unknown"}
    assert "p_value" in content["subgroups"]["sex"]["F"]["minus_rest"]["mean"]["auroc"]


def cards(content: Any) -> list[Any]:
    """Find every part that holds measures, however deep."""
    if not isinstance(content, dict):
        return []
    own = [content] if {"findings", "mean"} <= content.keys() else []
    return own + [card for part in content.values() for card in cards(part)]


def test_every_null_has_its_reason_beside_it(found: Metrics) -> None:
    content = found.to_json()
    every = cards(content)
    assert len(every) == 1 + 3 + 4 + 1 + 3 * 2
    gaps = 0
    for card in every:
        for name, measures in (*card["findings"].items(), ("mean", card["mean"])):
            for statistic, measure in measures.items():
                if isinstance(measure, dict) and measure["low"] is None:
                    assert card["undefined"][name][statistic]["reason"], (name, statistic)
                    gaps += 1
    assert gaps > 10


def test_the_table_of_metrics_is_the_document_in_rows(found: Metrics, folder: Path) -> None:
    assert_block(rows_of(folder / "metrics.csv"), found)


def test_the_table_of_readers_has_each_and_what_joins_them(found: Metrics, folder: Path) -> None:
    panel, rows = found.panel, rows_of(folder / "readers.csv")
    assert panel is not None
    assert panel.majority is not None
    assert panel.difference is not None
    blocks: dict[str, Scorecard] = {
        **panel.readers,
        "mean of readers": panel.mean,
        "majority of readers": panel.majority,
        "model minus mean of readers": panel.difference,
    }
    assert list(dict.fromkeys(row["reader"] for row in rows)) == list(blocks)
    for name, card in blocks.items():
        assert_block([row for row in rows if row["reader"] == name], card)
    blind = next(row for row in rows if (row["reader"], row["finding"]) == ("c", "Mass"))
    assert (blind["ppv"], blind["ppv_low"], blind["f1"]) == ("", "", "0.0")


def test_a_reader_may_be_called_anything(tmp_path: Path) -> None:
    scores, truth, readers = case(20, readers=1)
    odd = {"mean of readers": readers["a"], 'a, "b"': readers["a"]}
    evaluate(scores, truth, readers=odd, bootstrap=0).save(tmp_path)
    names = [row["reader"] for row in rows_of(tmp_path / "readers.csv")]
    assert names == (
        ["mean of readers"] * 4 + ['a, "b"'] * 4 + ["mean of readers"] * 4
        + ["majority of readers"] * 4
    )  # fmt: skip


def test_the_table_of_subgroups_counts_images_and_units(found: Metrics, folder: Path) -> None:
    rows = rows_of(folder / "subgroups.csv")
    assert {row["column"] for row in rows} == {"sex"}
    for name, group in found.subgroups["sex"].items():
        own = [row for row in rows if row["group"] == name]
        assert {(int(row["images"]), int(row["units"])) for row in own} == {(40, 20)}
        assert (group.images, group.units) == (40, 20)
        assert_block(own, group.card)


def test_thresholds_and_calibration_can_be_used_again(found: Metrics, folder: Path) -> None:
    again = read_thresholds(folder / "thresholds.csv")
    assert found.thresholds is not None
    assert again.numbers() == found.thresholds.numbers()
    assert load_calibration(folder / "calibration.json") == found.calibration
    scores, truth, _ = case(120)
    ready = load_calibration(folder / "calibration.json").apply(scores)
    repeated = evaluate(ready, truth, threshold=again, bootstrap=0)
    one, two = (m.findings["Edema"].measures["mcc"].estimate for m in (found, repeated))
    assert one == two


def test_a_finding_without_a_threshold_is_an_empty_cell(tmp_path: Path) -> None:
    scores, truth, _ = case(40)
    values = truth.values.copy()
    values[:, 1] = 0
    none = Table(truth.ids, FINDINGS, values, truth.extra)
    found = evaluate(scores, none, threshold="f1", tune_on_reported=True, bootstrap=0)
    found.save(tmp_path)
    rows = {row["finding"]: row["threshold"] for row in rows_of(tmp_path / "thresholds.csv")}
    assert rows["Mass"] == ""
    assert found.thresholds is not None
    assert float(rows["Edema"]) == found.thresholds.numbers()["Edema"]


def test_two_runs_write_the_same_bytes(folder: Path, tmp_path: Path) -> None:
    again = everything().save(tmp_path)
    for path in folder.iterdir():
        assert (again / path.name).read_bytes() == path.read_bytes(), path.name


def test_another_seed_writes_other_intervals_and_the_same_estimates() -> None:
    scores, truth, _ = case(40)
    one, two = (evaluate(scores, truth, bootstrap=30, seed=seed) for seed in (0, 1))
    for statistic in ("auroc", "brier"):
        a, b = (metrics.findings["Mass"].measures[statistic] for metrics in (one, two))
        assert a.estimate == b.estimate
        assert a.low != b.low


def test_a_margin_needs_readers() -> None:
    scores, truth, _ = case(20)
    message = "^a margin is for the model against readers, and no readers were given$"
    with pytest.raises(UsageError, match=message):
        evaluate(scores, truth, margin=0.1)


def test_numbers_are_pythons_own(found: Metrics) -> None:
    # numpy's would print as np.float64(...) in a doctest and fail json.dumps for bool and int
    def leaves(part: Any) -> list[Any]:
        if isinstance(part, dict):
            return [leaf for own in part.values() for leaf in leaves(own)]
        if isinstance(part, list | tuple):
            return [leaf for own in part for leaf in leaves(own)]
        return [part]

    kinds = {type(leaf) for leaf in leaves(found.to_json())}
    assert kinds <= {str, int, float, bool, type(None)}
    assert not any(isinstance(leaf, np.generic) for leaf in leaves(found.to_json()))
