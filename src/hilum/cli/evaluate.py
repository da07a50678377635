"""`hilum evaluate`: any table of scores against any table of truth."""

from pathlib import Path
from typing import Annotated, Any, Final, Literal

import typer

from hilum.cli.console import emit, note
from hilum.cli.options import listed, option

_TABLES: Final = "Tables"
_TUNING: Final = "Thresholds and calibration"
_BESIDE: Final = "Readers, subgroups, another model"
_INTERVALS: Final = "Intervals and tests"
_OUTPUT: Final = "Output"


def _file(panel: str, text: str, shown: str | None = None) -> Any:
    return typer.Option(
        exists=True, dir_okay=False, help=text, rich_help_panel=panel, metavar=shown
    )


File = Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="A CSV table.")]
Out = Annotated[Path, typer.Option(file_okay=False, help="Folder for everything that is written.")]

Id = Annotated[str, option(_TABLES, "The id column of all tables.", "--id")]
ScoreId = Annotated[str, option(_TABLES, "The scores' id column, where it differs.")]
Prefix = Annotated[str, option(_TABLES, "What the scores' columns start with, such as prob_.")]
Findings = Annotated[str, option(_TABLES, "Only these findings, separated by commas.")]
Uncertain = Annotated[
    Literal["ignore", "positive", "negative"],
    option(_TABLES, "What uncertain labels count as: ignore, positive, negative.", shown="POLICY"),
]
Statistics = Annotated[str, option(_TABLES, "Only these, separated by commas: auroc, f1, ...")]
MaxFpr = Annotated[float | None, option(_TABLES, "Also partial AUROC, up to this 1-specificity.")]
Bins = Annotated[int, option(_TABLES, "Of the expected calibration error.")]

Threshold = Annotated[
    str | None,
    option(
        _TUNING,
        "A number; or tuned on --tune-scores: mcc, f1, youden, sensitivity=0.95, specificity=0.9.",
        shown="RULE",
    ),
]
ThresholdFile = Annotated[Path | None, _file(_TUNING, "A thresholds.csv of an earlier run.")]
Calibrate = Annotated[
    Literal["temperature", "platt", "isotonic"] | None,
    option(
        _TUNING,
        "temperature, platt or isotonic: scores become probabilities, fitted to --tune-scores.",
        shown="METHOD",
    ),
]
TuneScores = Annotated[Path | None, _file(_TUNING, "Scores of validation images.")]
TuneTruth = Annotated[Path | None, _file(_TUNING, "Their truth.")]
TuneAgainst = Annotated[Path | None, _file(_TUNING, "The other model's scores of them.")]
TuneOnReported = Annotated[
    bool, option(_TUNING, "Tune on what is reported; the output says so.", "--tune-on-reported")
]

Readers = Annotated[
    list[Path] | None,
    _file(_BESIDE, "A radiologist's table, named by its file; repeatable.", shown="FILE"),
]
Margin = Annotated[
    float | None, option(_BESIDE, "How much worse than the readers is still non-inferior.")
]
Subgroup = Annotated[
    list[str] | None,
    option(_BESIDE, "Column of TRUTH: sex, or age=40,60,80; repeatable.", shown="COLUMN"),
]
Against = Annotated[Path | None, _file(_BESIDE, "Another model's scores, compared in pairs.")]

By = Annotated[str, option(_INTERVALS, "Column of TRUTH resampled as a whole, or image.")]
Bootstrap = Annotated[int, option(_INTERVALS, "Resamples; 0 for none.")]
Kind = Annotated[
    Literal["percentile", "bca", "delong", "chexzero"],
    option(
        _INTERVALS, "percentile, bca, delong (AUROC; Wilson's for rates) or chexzero.", shown="KIND"
    ),
]
Level = Annotated[float, option(_INTERVALS, "Coverage of the intervals.")]
Stratify = Annotated[
    str | None, option(_INTERVALS, "Column or finding whose groups keep their sizes.")
]
Seed = Annotated[int, option(_INTERVALS, "Of the resampling.")]
Holm = Annotated[bool, option(_INTERVALS, "Correct p-values for the number of findings.", "--holm")]

Plots = Annotated[bool, option(_OUTPUT, "Draw plots and write report.html.", "--plots/--no-plots")]
Title = Annotated[str, option(_OUTPUT, "Of the page.")]
AsJson = Annotated[bool, option(_OUTPUT, "Print metrics.json instead of tables.", "--json")]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(evaluate)


def evaluate(
    scores: File,
    truth: File,
    out: Out,
    id_column: Id = "image_id",
    score_id: ScoreId = "",
    prefix: Prefix = "",
    findings: Findings = "",
    policy: Uncertain = "ignore",
    statistics: Statistics = "",
    max_fpr: MaxFpr = None,
    bins: Bins = 15,
    threshold: Threshold = None,
    thresholds: ThresholdFile = None,
    calibrate: Calibrate = None,
    tune_scores: TuneScores = None,
    tune_truth: TuneTruth = None,
    tune_against: TuneAgainst = None,
    tune_on_reported: TuneOnReported = False,
    readers: Readers = None,
    margin: Margin = None,
    subgroup: Subgroup = None,
    against: Against = None,
    by: By = "patient_id",
    bootstrap: Bootstrap = 1000,
    interval: Kind = "percentile",
    level: Level = 0.95,
    stratify: Stratify = None,
    seed: Seed = 0,
    holm: Holm = False,
    plots: Plots = True,
    title: Title = "",
    as_json: AsJson = False,
) -> None:
    """Measure SCORES against TRUTH, with intervals: tables, plots and a page.

    Also against readers and another model, and by subgroup; with thresholds
    and calibration that are tuned on other images.
    """
    from hilum.appraisal import Files, appraise, write_plots, write_tables
    from hilum.appraisal.outputs import check_own
    from hilum.appraisal.writing import EVALUATION_FILES, METRICS

    check_own(out, METRICS, EVALUATION_FILES)
    tuning = (tune_scores, tune_truth, tune_against, thresholds)
    files = Files(
        scores, truth, tuple(readers or ()), against, *tuning,
        id_column, score_id or None, prefix, listed(findings) or None,
    )  # fmt: skip
    unit = None if by == "image" else by
    groups = tuple(subgroup or ())
    tables = files.read(unit, subgroups=groups, stratify=stratify)
    appraisal = appraise(
        tables, unit, threshold=threshold, calibrate=calibrate, tune_on_reported=tune_on_reported,
        subgroups=groups, title=title, bootstrap=bootstrap, seed=seed, level=level, policy=policy,
        interval=interval, stratify=stratify, max_fpr=max_fpr, bins=bins,
        statistics=listed(statistics) or None, holm=holm, margin=margin,
    )  # fmt: skip
    write_tables(appraisal, out)
    text = "" if as_json else appraisal.to_text()
    emit(appraisal.to_json(), as_json=as_json, text=text)
    for line in appraisal.remarks():
        note(line)
    note(f"Report: {write_plots(appraisal, out)}" if plots else f"Tables: {out}")
