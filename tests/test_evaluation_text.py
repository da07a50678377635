"""The terminal's tables of readers and subgroups, and the sentences below them."""

from dataclasses import replace
from typing import Any

import pytest

from evaluation_cases import made, some_readers
from hilum.evaluate import Measure, Metrics, evaluate
from hilum.evaluate.noninferiority import NonInferiority
from hilum.evaluate.scorecard import FindingMetrics, Scorecard
from hilum.evaluate.studies import Verdict
from hilum.evaluate.text import (
    TITLES,
    closing_text,
    model_beside_readers,
    panel_text,
    resampling_text,
    scorecard_text,
    subgroup_text,
    verdict_text,
)
from hilum.tables import Table


def with_readers(n: int = 3, **settings: Any) -> Metrics:
    scores, truth = made()
    readers = some_readers(truth, n)
    return evaluate(scores, truth, readers=readers, bootstrap=60, **settings)


def lines_of(metrics: Metrics) -> list[str]:
    assert metrics.panel is not None
    return panel_text(metrics.panel, metrics, 0.95).splitlines()


def test_readers_their_mean_their_majority_and_the_model_have_a_row_each() -> None:
    metrics = with_readers(threshold=0.5)
    assert metrics.panel is not None
    lines = lines_of(metrics)
    names = [line[:26].strip() for line in lines[2 : lines.index("")]]
    assert names == [
        *("ann", "bob", "cat", "mean of 3 readers", "majority of readers"),
        *("model", "model minus readers", "p", "readers like these", "p"),
    ]
    assert lines[0].split() == ["F1", "MCC"]
    assert lines[1].startswith("means of 3 findings")
    gap = metrics.panel.difference
    assert gap is not None
    assert f"{gap.mean['mcc'].estimate:.3f} (" in lines[8]
    assert f"{metrics.panel.mean.mean['f1'].estimate:.3f} (" in lines[5]
    assert f"{metrics.mean['f1'].estimate:.3f} (" in lines[7]


def test_a_reader_may_be_called_like_another_row() -> None:
    scores, truth = made()
    found = evaluate(
        scores, truth, bootstrap=20, threshold=0.5,
        readers=dict(zip(("model", "p"), some_readers(truth, 2).values(), strict=True)),
    )  # fmt: skip
    names = [line[:26].strip() for line in lines_of(found)[2:]]
    assert names[:2] == ["model", "p"]
    assert names.count("model") == 2


def test_one_reader_has_no_mean_no_majority_and_no_readers_like_it() -> None:
    lines = lines_of(with_readers(1, threshold=0.5))
    assert [line[:26].strip() for line in lines[2:]] == ["ann", "model", "model minus readers", "p"]


def test_without_thresholds_readers_stand_alone() -> None:
    text = "\n".join(lines_of(with_readers()))
    assert "majority of readers" in text
    assert "model" not in text


def test_the_statistics_asked_for_are_the_ones_shown() -> None:
    lines = lines_of(with_readers(threshold=0.5, statistics=("ppv", "specificity")))
    assert lines[0].split() == ["Specificity"]


@pytest.mark.parametrize("margin", [None, 0.1])
def test_the_tables_fit_80_columns_and_end_with_what_was_resampled(margin: float | None) -> None:
    metrics = with_readers(threshold=0.9, margin=margin, subgroups=["sex", "age=40,60"])
    lines = metrics.to_text().splitlines()
    assert max(map(len, lines)) <= 80
    assert lines[-1] == "Intervals: percentiles, 60 resamples of 60 patients."
    assert any(line.startswith("MCC, margin 0.1") for line in lines) == (margin is not None)
    assert any(line.startswith("Agreement between readers: kappa 0.") for line in lines)


def test_an_interval_from_below_zero_takes_its_room_from_the_names() -> None:
    wide, narrow = Measure(0.1, -0.1, 0.3), Measure(0.1, 0.0, 0.3)
    found = {
        "Enlarged Cardiomediastinum": FindingMetrics(500, 3, {"f1": narrow, "mcc": wide}),
        "Edema": FindingMetrics(500, 3, {"f1": narrow, "mcc": narrow}),
    }
    card = Scorecard(found, {"f1": narrow, "mcc": narrow}, {"f1": 2, "mcc": 2})
    lines = scorecard_text(card, 0.95).splitlines()
    assert {len(line) for line in lines} == {80}
    assert lines[2].startswith("Enlarged Cardiome… ")
    assert lines[2].endswith("    0.100 (0.000-0.300) 0.100 (-0.100 to 0.300)")


def test_a_model_on_other_images_than_its_readers_has_an_estimate_without_an_interval() -> None:
    scores, truth = made()
    readers = some_readers(truth, 2)
    values = readers["ann"].values.copy()
    values[:10, 0] = float("nan")  # not read
    readers["ann"] = Table(truth.ids, truth.findings, values)
    metrics = evaluate(scores, truth, readers=readers, threshold=0.5, bootstrap=20)
    panel = metrics.panel
    assert panel is not None
    assert panel.difference is not None
    found = model_beside_readers(panel, metrics)["f1"]
    mean, gap = panel.mean.mean["f1"].estimate, panel.difference.mean["f1"].estimate
    assert mean is not None
    assert gap is not None
    assert found == Measure(mean + gap)
    fewer = evaluate(
        scores, truth, bootstrap=20, threshold=0.5,
        readers={name: table.select(["Edema"]) for name, table in some_readers(truth).items()},
    )  # fmt: skip
    assert fewer.panel is not None
    alone = model_beside_readers(fewer.panel, fewer)["mcc"]
    assert alone.low is None
    assert alone.estimate == pytest.approx(fewer.findings["Edema"].measures["mcc"].estimate)


def judged(low: float | None, p: float | None = 0.0004) -> NonInferiority:
    if low is None:
        return NonInferiority(0.1, 0.95, None, None, None, None, "no verdict: no spread")
    return NonInferiority(0.1, 0.95, low, p, low > -0.1, low > 0)


@pytest.mark.parametrize(
    ("verdict", "n", "text"),
    [
        (
            Verdict(judged(0.02), judged(-0.05, 0.012)),
            3,
            "F1, margin 0.1: the model is superior to these 3 readers (interval from 0.020, "
            "one-sided p < 0.001), and non-inferior to readers like these (interval from -0.050, "
            "one-sided p = 0.012).",
        ),
        (
            Verdict(judged(-0.2, 0.3), None),
            1,
            "F1, margin 0.1: the model is not shown to be non-inferior to this reader (interval "
            "from -0.200, one-sided p = 0.300).",
        ),
        (
            Verdict(None, judged(None)),
            2,
            "F1, margin 0.1: the model is not judged against readers like these (no verdict: no "
            "spread).",
        ),
        (
            Verdict(None, None),
            1,
            "F1: no verdict on non-inferiority without resamples or several readers.",
        ),
    ],
)
def test_a_verdict_is_a_sentence(verdict: Verdict, n: int, text: str) -> None:
    assert verdict_text("F1", verdict, n) == text


def test_a_subgroup_table_states_its_counts_and_its_distance_from_the_rest() -> None:
    metrics = evaluate(*made(), bootstrap=60, subgroups=["sex"])
    groups = metrics.subgroups["sex"]
    lines = subgroup_text("sex", groups, 0.9).splitlines()
    assert lines[0].split() == ["mean", "AUROC", "minus", "the", "rest"]
    assert lines[1].split() == ["sex", "images", "of", *["(90%", "interval)"] * 2, "p"]
    assert lines[2].split()[:3] == ["F", "60", "3"]
    rest = groups["F"].against_rest
    assert rest is not None
    assert f"{rest.mean['auroc'].estimate:.3f} (" in lines[2]
    assert lines[2].endswith(f"{rest.mean['auroc'].p_value:.3f}")


def test_a_group_of_everybody_has_no_rest() -> None:
    scores, truth = made()
    alone = replace(truth, extra={**truth.extra, "site": ("one",) * len(truth)})
    groups = evaluate(scores, alone, bootstrap=20, subgroups=["site"]).subgroups["site"]
    assert subgroup_text("site", groups, 0.95).splitlines()[2].endswith(")")
    only = evaluate(scores, alone, bootstrap=0, statistics=("brier",), subgroups=["site"])
    assert "mean Brier score" in subgroup_text("site", only.subgroups["site"], 0.95)


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({}, "Intervals: percentiles, 1,000 resamples of 60 patients."),
        ({"interval": "bca", "stratify": "sex"},
         "Intervals: BCa, 1,000 resamples of 60 patients, stratified by sex."),
        ({"interval": "delong"},
         "Intervals: DeLong's (AUROC) and Wilson's (proportions) for 60 patients, else "
         "percentiles of 1,000 resamples of 60 patients."),
        ({"interval": "delong", "bootstrap": 0},
         "Intervals: DeLong's (AUROC) and Wilson's (proportions) for 60 patients, else none."),
        ({"interval": "chexzero", "resampled": "image", "units": 12345},
         "Intervals: CheXzero's convention, 1,000 resamples of 12,345 images."),
        ({"bootstrap": 0}, "No intervals: nothing was resampled."),
        ({"resampled": "site"}, "Intervals: percentiles, 1,000 resamples of 60 values of site."),
    ],
)  # fmt: skip
def test_what_was_resampled_is_a_sentence(settings: dict[str, Any], text: str) -> None:
    usual = {"units": 60, "resampled": "patient_id", "bootstrap": 1000, "stratify": None}
    assert resampling_text({**usual, "interval": "percentile", **settings}) == text


def test_what_is_too_good_is_said_below_the_tables() -> None:
    metrics = evaluate(*made(), bootstrap=0, threshold="mcc", tune_on_reported=True)
    assert len(metrics.warnings()) == 1
    closing = closing_text(metrics.settings, metrics.warnings())
    assert metrics.to_text().endswith(closing)
    assert "patients on\n  both sides): the figures are optimistic." in closing
    assert evaluate(*made(), bootstrap=0, threshold=0.5).warnings() == []


def test_every_statistic_has_a_title() -> None:
    from hilum.evaluate.plan import STATISTICS

    assert {*STATISTICS, "kappa"} == set(TITLES)
