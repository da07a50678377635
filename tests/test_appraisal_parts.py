"""The tables and plots of an evaluation's page."""

import base64
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure as Plot

from evaluation_cases import FINDINGS, appraised, made, some_readers
from hilum import plots
from hilum.appraisal import Tables, appraise, write_plots
from hilum.appraisal import tables as parts
from hilum.appraisal.figures import draw
from hilum.appraisal.panels import (
    MOST,
    precision_recall_panels,
    reliability_panels,
    roc_panels,
    shown_findings,
    subgroup_panels,
)
from hilum.evaluate import Measure, Plan, auroc
from hilum.evaluate.curves import staircase
from hilum.tables import Table


def test_holm_is_said_where_p_values_are_corrected() -> None:
    plain, holm = (
        appraised(readers=2, against=True, threshold="0.5", subgroups=["sex"], holm=holm)
        for holm in (False, True)
    )
    for found, said in ((plain, False), (holm, True)):
        panel, comparison = found.metrics.panel, found.comparison
        assert panel is not None
        assert comparison is not None
        captions = [
            parts.model_and_readers(panel, found.metrics, "mcc").caption,
            parts.comparison_findings(comparison, found.names, "auroc").caption,
            parts.subgroup_findings("sex", found.metrics.subgroups["sex"]).caption,
        ]
        assert [("(Holm)" in caption) for caption in captions] == [said] * 3
        assert ("one in twenty" in captions[-1]) != said


def test_a_subgroup_table_counts_images_patients_and_findings() -> None:
    found = appraised(subgroups=["sex"])
    rows = parts.subgroup_means("sex", found.metrics.subgroups["sex"], "patient_id")
    assert rows.columns[:4] == ["sex", "Images", "Patients", "Findings"]
    assert rows.rows[0][:4] == ["F", 60, 30, 3]
    images = parts.subgroup_means("sex", found.metrics.subgroups["sex"], "image")
    assert images.columns[:3] == ["sex", "Images", "Findings"]
    site = parts.subgroup_means("sex", found.metrics.subgroups["sex"], "site")
    assert site.columns[2] == "Values of site"
    findings = parts.subgroup_findings("sex", found.metrics.subgroups["sex"])
    positives = int(found.truth.values[np.array(found.truth.extra["sex"]) == "F", 0].sum())
    assert findings.rows[0][:4] == ["Edema", "F", 60, positives]
    assert findings.rows[1][:2] == ["", "M"]


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ({"threshold": "0.25"}, "Threshold: 0.25 for every finding."),
        ({"threshold": "youden", "tune_on_reported": True}, "best Youden's index on the images"),
        ({"threshold": "sensitivity=0.9", "tune_on_reported": True}, "sensitivity=0.9 on the im"),
    ],
)
def test_a_caption_says_where_thresholds_come_from(how: dict[str, Any], said: str) -> None:
    captions = [rows.caption for rows in parts.by_finding(appraised(**how).metrics)]
    assert said in captions[1]


def test_calibration_is_shown_before_and_after() -> None:
    calibrated = appraised(calibrate="platt", tune_on_reported=True)
    rows = parts.calibration(calibrated.metrics)
    assert list(rows.columns) == [
        *("Finding", "Brier score as given", "Brier score calibrated"),
        *("Calibration error as given", "Calibration error calibrated"),
    ]
    brier, error = rows.rows[0][2], rows.rows[0][4]
    assert isinstance(brier, Measure)
    assert brier.low is not None
    assert error == Measure(calibrated.metrics.findings["Edema"].measures["ece"].estimate)
    only = parts.calibration(appraised(statistics=("brier",)).metrics)
    assert list(only.columns) == ["Finding", "Brier score"]


def test_curves_are_those_of_the_scores_and_points_those_of_the_readings() -> None:
    found = appraised(readers=2, against=True, threshold="0.5")
    panels = roc_panels(found)
    assert [panel.finding for panel in panels] == list(FINDINGS)
    first = panels[0].curves[0]
    x, y = np.asarray(first.x), np.asarray(first.y)
    area = auroc(found.scores.values[:, 0], found.truth.values[:, 0])
    assert np.trapezoid(y, x) == pytest.approx(area)
    assert [curve.name for curve in panels[0].curves] == ["net", "rival"]
    assert [reader.name for reader in panels[0].readers] == ["ann", "bob"]
    assert panels[0].mean_reader is not None
    assert panels[0].mean_reader.name == "mean of 2 readers"
    assert first.threshold is not None
    known = found.truth.values[:, 0] == 1
    hit = (found.scores.values[known, 0] >= 0.5).mean()
    assert first.threshold.sensitivity.estimate == pytest.approx(hit)
    assert first.band is not None
    low, high = np.asarray(first.band.low), np.asarray(first.band.high)
    assert (low <= high).all()
    heights = np.interp(np.asarray(first.band.grid), x, y)
    assert ((low <= heights + 0.05) & (heights - 0.05 <= high)).mean() > 0.9


def test_the_precision_recall_curve_has_the_average_precision_below_it() -> None:
    found = appraised()
    curve = precision_recall_panels(found)[1].curves[0]
    x, y = staircase(curve.x, curve.y)
    area = found.metrics.findings["Mass"].measures["average_precision"].estimate
    assert np.trapezoid(y, x) == pytest.approx(area)


def test_a_band_is_of_the_resamples_of_the_metrics() -> None:
    how: dict[str, Any] = {
        "seed": 3, "level": 0.8, "policy": "positive", "stratify": "Edema", "bootstrap": 30,
    }  # fmt: skip
    assert appraised(**how).plan == Plan("patient_id", **how)
    assert appraised(interval="chexzero").plan == Plan(None, 40, interval="chexzero")


def test_a_band_needs_resamples_and_an_interval() -> None:
    assert all(p.curves[0].band is None for p in roc_panels(appraised(bootstrap=0)))
    assert all(p.curves[0].band is None for p in precision_recall_panels(appraised()))
    scores, truth = made()
    truth.values[:, 0] = 0
    truth.values[:2, 0] = 1  # one patient has all positives
    shown = roc_panels(appraised(tables=(scores, truth)))
    assert [panel.curves[0].band is None for panel in shown] == [True, False, False]


def test_a_finding_without_a_curve_keeps_its_reason() -> None:
    scores, truth = made()
    truth.values[:, 1] = np.nan
    one_class = truth.values.copy()
    one_class[:, 2] = 0
    shown = appraised(tables=(scores, replace(truth, values=one_class)), threshold="0.5")
    mass, pneumonia = (panel.curves[0] for panel in roc_panels(shown)[1:])
    assert mass.area.reason == "no image has a known label"
    assert np.asarray(mass.x).size == 0
    assert pneumonia.threshold is None  # a specificity alone is no point


def test_calibrated_scores_are_drawn_beside_those_that_came() -> None:
    found = appraised(calibrate="platt", tune_on_reported=True)
    series = reliability_panels(found)[0].series
    assert [one.name for one in series] == ["as given", "calibrated"]
    assert np.allclose(np.sort(series[0].scores), np.sort(found.scores.values[:, 0]))
    assert not np.allclose(np.sort(series[0].scores), np.sort(series[1].scores))
    assert [one.name for one in reliability_panels(appraised())[0].series] == ["scores"]


def test_scores_that_are_no_probabilities_have_no_reliability_diagram() -> None:
    scores, truth = made()
    beyond = replace(scores, values=scores.values * 4)
    assert reliability_panels(appraised(tables=(beyond, truth))) == []
    values = scores.values.copy()
    values[:, 0] *= 4
    mixed = reliability_panels(appraised(tables=(replace(scores, values=values), truth)))
    assert mixed[0].series[0].ece.reason is not None
    assert mixed[1].series[0].ece.estimate is not None
    assert len(plots.reliability(mixed).axes) == 4  # three findings, and one to fill the row


def test_a_figure_holds_the_findings_with_the_most_positives() -> None:
    rng = np.random.default_rng(0)
    names = tuple(f"F{at}" for at in range(MOST + 3))
    values = (rng.random((200, MOST + 3)) < np.linspace(0.5, 0.05, MOST + 3)).astype(float)
    ids = tuple(map(str, range(200)))
    tables = Table(ids, names, rng.random(values.shape)), Table(ids, names, values)
    found = appraised(tables=tables, bootstrap=0, statistics=("auroc",))
    kept = shown_findings(found.metrics)
    counts = values.sum(axis=0)
    assert len(kept) == MOST
    assert min(counts[names.index(name)] for name in kept) >= np.sort(counts)[2]
    assert kept == [name for name in names if name in kept]


def test_subgroups_are_drawn_with_their_counts() -> None:
    found = appraised(subgroups=["sex", "age=50"])
    panel = subgroup_panels(found, "auroc")[0]
    assert panel.finding == "Mean of 3 findings"
    assert [(row.column, row.level) for row in panel.subgroups] == [
        *(("sex", "F"), ("sex", "M"), ("age", "below 50"), ("age", "50 and over"))
    ]
    assert sum(row.n for row in panel.subgroups[:2]) == 120
    assert sum(row.positives for row in panel.subgroups[2:]) == int(found.truth.values.sum())


def test_the_page_holds_the_very_plots_that_are_written(tmp_path: Path) -> None:
    found = appraised(readers=2)
    shown = write_plots(found, tmp_path)
    html = shown.read_text(encoding="utf-8")
    drawn = sorted(path.name for path in tmp_path.glob("*.svg"))
    assert drawn == [
        *("precision_recall.svg", "readers_f1.svg", "readers_mcc.svg", "reliability.svg"),
        "roc.svg",
    ]
    for name in drawn:
        assert base64.b64encode((tmp_path / name).read_bytes()).decode() in html
    assert html.count("<img ") == len(drawn)


def test_one_reader_is_no_mean() -> None:
    assert roc_panels(appraised(readers=1))[0].mean_reader is None


def test_the_forest_of_readers_has_the_model_on_what_is_shared(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen: list[dict[str, Any]] = []

    def readers(*given: Any, **how: Any) -> Plot:
        seen.append({"readers": given[1], "models": given[2], **how})
        return Plot()

    def differences(*given: Any, **how: Any) -> Plot:
        seen.append({"margin": how.get("margin")})
        return Plot()

    monkeypatch.setattr(plots, "readers", readers)
    monkeypatch.setattr(plots, "differences", differences)
    scores, truth = made()
    few = {name: table.select(["Edema"]) for name, table in some_readers(truth, 2).items()}
    given = Tables(scores, truth, few, names=("net", ""))
    draw(appraise(given, threshold="0.5", margin=0.07, bootstrap=20))
    f1, mcc, *gaps = seen
    assert list(f1["models"]) == ["net, threshold"]
    own, mean = f1["models"]["net, threshold"]
    assert own.low is not None
    assert (mean.low, mean.estimate) == (None, pytest.approx(own.estimate))
    assert f1["mean"][0] == "mean of 2 readers"
    assert list(mcc["readers"]) == ["ann", "bob"]
    assert gaps == [{"margin": 0.07}, {"margin": 0.07}]


def test_names_are_drawn_as_they_are_written() -> None:
    scores, truth = made()
    names = ("$\\mass$", "a_$b$", "<b> & c")
    tables = Table(scores.ids, names, scores.values), Table(truth.ids, names, truth.values)
    odd = appraised(tables=tables, bootstrap=0, statistics=("auroc",))
    assert "roc" in draw(replace(odd, names=("$x$", "")))
