"""The page of an evaluation: what it says first, what it shows, and what it leaves out."""

import base64
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure as Plot

from evaluation_cases import FINDINGS, another, made, some_readers, written
from hilum import plots
from hilum.appraisal import Appraisal, Files, Tables, appraise, evaluation_page, page, write_plots
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
from hilum.appraisal.sentences import counted, difference, lead, on_readers, short, unbroken, word
from hilum.errors import TableError, UsageError
from hilum.evaluate import Measure, Plan, auroc, compare, evaluate
from hilum.evaluate.curves import staircase
from hilum.report import Figure, KeyFigures, Page, Prose, Rows
from hilum.tables import Table

NO_PLOTS: Mapping[str, Any] = {}


def appraised(
    readers: int = 0, against: bool = False, tables: tuple[Table, Table] | None = None, **how: Any
) -> Appraisal:
    scores, truth = tables or made()
    given = Tables(
        scores,
        truth,
        some_readers(truth, readers),
        another(scores) if against else None,
        names=("net", "rival" if against else ""),
    )
    return appraise(given, **{"bootstrap": 40, **how})


Whole = tuple[Appraisal, dict[str, Figure]]


@pytest.fixture(scope="module")
def whole() -> Whole:
    """Return an appraisal with everything in it, and its plots: drawing takes a second."""
    found = appraised(readers=3, against=True, threshold="0.5", subgroups=["sex"], margin=0.1)
    return found, draw(found)


def titles(found: Page) -> list[str]:
    return [section.title for section in found.sections]


def text_of(found: Page, title: str) -> str:
    """Return the prose, captions and first cells of one section."""
    blocks = next(section.blocks for section in found.sections if section.title == title)
    out: list[str] = []
    for block in blocks:
        if isinstance(block, Prose):
            out += block.paragraphs
        elif isinstance(block, Rows):
            out += [block.caption, *(str(row[0]) for row in block.rows)]
    return "\n".join(out)


# ------------------------------------------------------------------ what it says


def test_the_lead_has_the_answer_its_interval_and_what_it_rests_on() -> None:
    found = appraised()
    mean = found.metrics.mean["auroc"]
    said = lead(found).replace("\N{NO-BREAK SPACE}", " ")
    assert said.startswith(
        f"net reaches a mean AUROC of {mean.estimate:.3f} (95 % interval {mean.low:.3f} to "
        f"{mean.high:.3f}) on 120 images of 60 patients: 3 findings, from "
    )


def test_the_lead_names_the_lowest_and_the_highest_finding() -> None:
    values = np.array([[1.0, 1, 0], [1, 0, 1], [0, 1, 0], [0, 0, 1]])
    ids = tuple("abcd")
    truth, scores = Table(ids, FINDINGS, values), Table(ids, FINDINGS, np.eye(4)[:, :3])
    found = appraised(tables=(scores, truth), bootstrap=0)
    assert lead(found).endswith("3 findings, from 0.250 (Mass) to 0.750 (Edema).")
    one = appraised(tables=(scores.select(["Edema"]), truth), bootstrap=0)
    assert lead(one) == "net reaches an AUROC of 0.750 on 4 images: one finding, Edema."


def test_the_lead_compares_with_readers_and_with_the_other_model() -> None:
    found = appraised(readers=3, against=True, threshold="0.5")
    assert found.metrics.panel is not None
    assert found.comparison is not None
    assert found.metrics.panel.difference is not None
    said = lead(found)
    gap = unbroken(difference(found.metrics.panel.difference.mean["mcc"]))
    assert f"At its thresholds, the model minus the mean of 3 readers is {gap} in mean MCC." in said
    other = unbroken(difference(found.comparison.difference.mean["auroc"]))
    assert f"net minus rival is {other} in mean AUROC." in said


def test_one_reader_is_called_by_name_and_has_no_majority() -> None:
    one, three = (appraised(readers=n, threshold="0.5") for n in (1, 3))
    assert "the model minus the reader ann is " in lead(one)
    for found, many in ((one, False), (three, True)):
        assert found.metrics.panel is not None
        rows = parts.panel_means(found.metrics.panel, found.metrics)
        assert ("majority" in rows.caption) == many


def test_nothing_to_measure_is_said_plainly() -> None:
    scores, truth = made()
    nothing = Table(truth.ids, truth.findings, np.full_like(truth.values, np.nan))
    found = appraised(tables=(scores, nothing), against=True)
    assert lead(found) == (
        "Nothing can be measured of net on 120 images. It cannot be compared with rival."
    )
    shown = page(found)
    assert "Curves" not in titles(shown)
    assert "no image has a known label" in shown.html()


@pytest.mark.parametrize(
    ("gap", "text"),
    [
        (Measure(0.1, 0.05, 0.2, p_value=0.002), "+0.100 (+0.050 to +0.200, p = 0.002)"),
        (Measure(-0.1, -0.2, 0.0, p_value=1e-5), "-0.100 (-0.200 to +0.000, p < 0.001)"),
        (Measure(0.1), "+0.100"),
        (Measure(None, reason="no positives"), "undefined (no positives)"),
    ],
)
def test_a_difference_has_its_sign(gap: Measure, text: str) -> None:
    assert difference(gap) == text


def test_small_words() -> None:
    assert [word(name) for name in ("auroc", "partial_auroc", "f1", "ece", "brier")] == [
        *("AUROC", "partial AUROC", "F1", "calibration error", "Brier score")
    ]
    assert (short("net"), short("a_name_that_is_long")) == ("net", "a_name_that_i…")
    assert (
        unbroken("95 % and p = 0.1")
        == "95\N{NO-BREAK SPACE}% and p\N{NO-BREAK SPACE}=\N{NO-BREAK SPACE}0.1"
    )
    assert counted({"images": 1200, "resampled": "site", "units": 3}) == "1,200 images"


def test_readers_like_these_are_explained_and_two_are_called_few() -> None:
    three, two = (appraised(readers=n, threshold="0.5").metrics.panel for n in (3, 2))
    assert three is not None
    assert two is not None
    said = list(on_readers(three))[-1]
    study = three.studies["mean"]["mcc"].difference
    assert f"the model minus their mean is {study.estimate:+.3f} ({study.low:+.3f} to" in said
    assert "Obuchowski, Rockette and Hillis" in said
    assert list(on_readers(two))[-1].endswith("Two readers are too few to rely on this.")


# ------------------------------------------------------------------ the page


def test_optimistic_tuning_is_the_first_thing_after_the_lead() -> None:
    tuned = page(appraised(threshold="mcc", calibrate="platt", tune_on_reported=True), NO_PLOTS)
    assert titles(tuned)[0] == "Read this first: optimistic"
    assert "Tuned on what is reported (120 of the 120" in text_of(tuned, titles(tuned)[0])
    assert "Tuned on what" not in text_of(tuned, "In short")  # said once, where it is seen
    assert "best MCC on the images that are reported." in text_of(tuned, "Finding by finding")
    assert "platt, on the images that are reported." in text_of(tuned, "Calibration")
    assert titles(page(appraised(threshold="0.5"), NO_PLOTS))[0] == "In short"


def test_the_page_has_the_sections_that_there_is_something_to_say_in(whole: Whole) -> None:
    everything = page(*whole)
    assert titles(everything) == [
        *("In short", "Finding by finding", "Curves", "Calibration", "Readers", "Subgroups"),
        "Against rival",
    ]
    assert everything.title == "Evaluation of net"
    assert "MCC, margin 0.1: the model is" in text_of(everything, "Readers")
    assert "model minus readers like these" in text_of(everything, "Readers")
    plain = page(appraised(statistics=("auroc",)), NO_PLOTS)
    assert titles(plain) == ["In short", "Finding by finding"]
    assert "Intervals: percentiles, 40 resamples of 60 patients." in text_of(plain, "In short")


def test_scores_without_thresholds_say_what_is_missing() -> None:
    found = page(appraised(), NO_PLOTS)
    assert "no threshold was given (--threshold)" in text_of(found, "Finding by finding")
    assert "What is undefined, and why" not in titles(found)  # one sentence for all of it


def test_the_undefined_is_listed_with_its_reason() -> None:
    scores, truth = made()
    truth.values[:, 2] = 0
    found = page(appraised(tables=(scores, truth), threshold="0.5"), NO_PLOTS)
    section = next(s for s in found.sections if s.title == "What is undefined, and why")
    rows = section.blocks[0]
    assert isinstance(rows, Rows)
    why = "none of the 120 known labels is positive"
    assert ["Pneumonia", "AUROC, Average precision", why] in [row[:3] for row in rows.rows]
    assert "None of these was replaced by a number." in rows.caption


def test_remarks_on_one_finding_stand_at_the_end() -> None:
    scores, truth = made()
    values = scores.values.copy()
    values[:, 0] = 0.5
    tuned = appraised(
        tables=(Table(scores.ids, FINDINGS, values), truth),
        threshold="specificity=0.9",
        tune_on_reported=True,
    )
    found = page(tuned, NO_PLOTS)
    assert "Edema: no threshold" not in text_of(found, "In short")
    assert "Edema: no threshold, no observed" in text_of(found, "What is undefined, and why")


def test_key_figures_are_the_means_with_their_intervals() -> None:
    found = page(appraised(readers=2, threshold="0.5"), NO_PLOTS)
    block = found.sections[0].blocks[0]
    assert isinstance(block, KeyFigures)
    assert [figure.label for figure in block.figures] == [
        *("mean AUROC, 3 findings", "mean average precision, 3 findings", "mean MCC, 3 findings"),
        *("images", "model minus readers, mean MCC"),
    ]
    assert block.figures[3].remark == "of 60 patients"
    assert block.figures[4].value[0] in "+-"
    assert block.figures[0].remark.startswith("95 %: 0.")


def test_settings_name_files_versions_and_tuning(tmp_path: Path) -> None:
    scores, truth = made()
    folder = written(tmp_path, {"scores": scores, "truth": truth})
    given = Files(folder / "scores.csv", folder / "truth.csv").read()
    settings = page(appraise(given, bootstrap=0, threshold="0.5"), NO_PLOTS).settings
    assert settings["files"]["scores"]["name"] == "scores.csv"
    assert settings["thresholds"] == "0.5, a fixed number"
    assert {"hilum", "numpy", "scipy"} <= settings["versions"].keys()
    assert str(tmp_path) not in repr(settings)


def test_python_has_the_same_page(tmp_path: Path) -> None:
    scores, truth = made()
    other = another(scores)
    how: Mapping[str, Any] = {"bootstrap": 20, "statistics": ("auroc",)}
    found = evaluation_page(
        evaluate(scores, truth, **how),
        scores,
        truth,
        comparison=compare(scores, other, truth, **how),
        against=other,
        title="Ours",
    )
    assert found.lead.startswith("The model reaches a mean AUROC of ")
    assert ". The model minus the other model is " in found.lead
    assert found.title == "Ours"
    assert titles(found) == [
        *("In short", "Finding by finding", "Curves", "Against the other model")
    ]
    assert found.save(tmp_path / "x.html").exists()


# ------------------------------------------------------------------ tables


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


# ------------------------------------------------------------------ plots


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


def test_every_plot_says_where_its_numbers_are(whole: Whole) -> None:
    drawn = whole[1]
    assert {name for name in drawn if name.startswith("readers")} == {"readers_f1", "readers_mcc"}
    assert all(plot.alt.endswith("the numbers are in the tables.") for plot in drawn.values())
    assert "Bands: pointwise 95 % intervals. Readers are points." in drawn["roc"].caption


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


# ------------------------------------------------------------------ files


def test_files_are_called_after_what_they_hold(tmp_path: Path) -> None:
    one, two = tmp_path / "scores.csv", tmp_path / "b" / "scores.csv.gz"
    assert Files(one, two).names() == ("scores", "")
    assert Files(one, one, against=two).names() == ("scores (1)", "scores (2)")
    assert Files(one, one, against=tmp_path / "net.csv").names() == ("scores", "net")


def test_a_prefix_belongs_to_score_tables_alone(tmp_path: Path) -> None:
    scores, truth = made()
    named = Table(scores.ids, tuple(f"prob_{name}" for name in FINDINGS), scores.values)
    folder = written(tmp_path, {"scores": named, "truth": truth, **some_readers(truth, 1)})
    given = Files(
        folder / "scores.csv", folder / "truth.csv", [folder / "ann.csv"],
        against=folder / "scores.csv", prefix="prob_", findings=["Edema", "Mass"],
    ).read()  # fmt: skip
    assert given.against is not None
    assert given.scores.findings == given.against.findings == ("Edema", "Mass")
    assert given.readers["ann"].findings == ("Edema", "Mass")


def test_a_table_without_any_finding_that_was_asked_for_is_an_error(tmp_path: Path) -> None:
    scores, truth = made()
    reader = some_readers(truth, 1)["ann"].select(["Pneumonia"])
    folder = written(tmp_path, {"scores": scores, "truth": truth, "ann": reader})
    files = Files(
        folder / "scores.csv", folder / "truth.csv", [folder / "ann.csv"], findings=["Edema"]
    )
    with pytest.raises(TableError, match=r"ann\.csv: no column for the finding 'Edema'"):
        files.read()


def test_a_finding_of_no_vocabulary_can_be_a_stratum_or_be_evaluated(tmp_path: Path) -> None:
    scores, truth = made()
    own = ("Thing", "Mass", "Pneumonia")
    tables = {
        "scores": Table(scores.ids, own, scores.values),
        "truth": Table(truth.ids, own, truth.values, truth.extra),
    }
    folder = written(tmp_path, tables)
    files = Files(folder / "scores.csv", folder / "truth.csv", findings=["Thing"])
    found = appraise(files.read(stratify="Thing"), bootstrap=20, stratify="Thing")
    assert list(found.metrics.findings) == ["Thing"]
    other = appraise(files.read(None, stratify="Mass"), None, bootstrap=20, stratify="Mass")
    assert other.metrics.settings["stratify"] == "Mass"


def test_a_validation_truth_carries_its_patients(tmp_path: Path) -> None:
    scores, truth = made()
    again = Table(tuple(f"x{i}" for i in truth.ids), FINDINGS, truth.values, truth.extra)
    theirs = Table(again.ids, FINDINGS, scores.values)
    folder = written(
        tmp_path, {"scores": scores, "truth": truth, "tune-scores": theirs, "tune-truth": again}
    )
    given = Files(
        folder / "scores.csv", folder / "truth.csv",
        tune_scores=folder / "tune-scores.csv", tune_truth=folder / "tune-truth.csv",
    ).read(by=None)  # fmt: skip
    with pytest.raises(UsageError, match="On both sides: 60 patients"):
        appraise(given, None, threshold="mcc")
