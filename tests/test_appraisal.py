"""The page of an evaluation: what it says first, what it shows, and what it leaves out."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from evaluation_cases import FINDINGS, another, appraised, made, written
from hilum.appraisal import Appraisal, Files, appraise, evaluation_page, page
from hilum.appraisal import tables as parts
from hilum.appraisal.figures import draw
from hilum.appraisal.sentences import counted, difference, lead, on_readers, short, unbroken, word
from hilum.evaluate import Measure, compare, evaluate
from hilum.report import Figure, KeyFigures, Page, Prose, Rows
from hilum.tables import Table

NO_PLOTS: Mapping[str, Any] = {}


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


def test_every_plot_says_where_its_numbers_are(whole: Whole) -> None:
    drawn = whole[1]
    assert {name for name in drawn if name.startswith("readers")} == {"readers_f1", "readers_mcc"}
    assert all(plot.alt.endswith("the numbers are in the tables.") for plot in drawn.values())
    assert "Bands: pointwise 95 % intervals. Readers are points." in drawn["roc"].caption
