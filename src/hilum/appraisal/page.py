"""The page of an appraisal: the answer first, then what it rests on."""

import platform
from collections.abc import Iterator, Mapping
from importlib.metadata import version
from typing import Any, Final

from hilum.appraisal import tables
from hilum.appraisal.figures import draw
from hilum.appraisal.record import Appraisal
from hilum.appraisal.sentences import counted, lead, on_readers, percent, unbroken, word
from hilum.evaluate.intervals import Measure
from hilum.evaluate.result import Comparison, Metrics
from hilum.evaluate.text import panel_statistics, resampling_text
from hilum.report import (
    Block,
    Figure,
    KeyFigure,
    KeyFigures,
    Page,
    Prose,
    Section,
)
from hilum.tables import Table

PACKAGES: Final = ("hilum", "numpy", "scipy", "matplotlib")

Plots = Mapping[str, Figure]


def page(appraisal: Appraisal, plots: Plots | None = None) -> Page:
    """Return the page.

    Parameters
    ----------
    appraisal
        What it is about.
    plots
        By name, from `draw`; drawn here where they are not given.
    """
    drawn = draw(appraisal) if plots is None else plots
    parts = (
        _warning,
        _summary,
        _findings,
        _curves,
        _calibration,
        _readers,
        _subgroups,
        _against,
        _gaps,
    )
    sections = [section for part in parts if (section := part(appraisal, drawn)) is not None]
    title = appraisal.title or f"Evaluation of {appraisal.names[0]}"
    return Page(title, sections, lead(appraisal), _settings(appraisal))


def evaluation_page(
    metrics: Metrics,
    scores: Table,
    truth: Table,
    *,
    comparison: Comparison | None = None,
    against: Table | None = None,
    names: tuple[str, str] = ("the model", "the other model"),
    title: str = "",
) -> Page:
    """Return the page that `hilum evaluate` writes.

    Parameters
    ----------
    metrics, scores, truth
        What `hilum.evaluate` found, and what it was given.
    comparison, against
        What `hilum.compare` found, and the second table that it was given.
    names
        What the two models are called.
    title
        Of the page.
    """
    return page(Appraisal(metrics, scores, truth, comparison, against, names, title))


def _figures(plots: Plots, *names: str) -> list[Block]:
    return [plots[name] for name in names if name in plots]


def _warning(appraisal: Appraisal, _: Plots) -> Section | None:
    said = appraisal.metrics.warnings()
    return Section("Read this first: optimistic", [Prose(*said)]) if said else None


def _summary(appraisal: Appraisal, _: Plots) -> Section:
    metrics = appraisal.metrics
    said = [line for line in _general_remarks(appraisal) if line not in metrics.warnings()]
    return Section(
        "In short",
        [
            KeyFigures(list(_key_figures(appraisal))),
            Prose(resampling_text(metrics.settings), *said),
        ],
    )


def _key_figures(appraisal: Appraisal) -> Iterator[KeyFigure]:
    metrics = appraisal.metrics
    for statistic in ("auroc", "average_precision", "mcc"):
        if findings := metrics.n_in_mean.get(statistic):
            many = f"mean {word(statistic)}, {findings} findings"
            label = many if findings > 1 else word(statistic)
            yield _key_figure(metrics.mean[statistic], label, metrics.settings["level"])
    settings = metrics.settings
    images, _, patients = counted(settings).partition(" of ")
    yield KeyFigure(images.removesuffix(" images"), "images", patients and f"of {patients}")
    if metrics.panel is not None and metrics.panel.difference is not None:
        statistic = panel_statistics(metrics.panel)[-1]
        label = f"model minus readers, mean {word(statistic)}"
        gap = metrics.panel.difference.mean[statistic]
        yield _key_figure(gap, label, settings["level"], sign="+")


def _key_figure(measure: Measure, label: str, level: float, sign: str = "") -> KeyFigure:
    if measure.estimate is None:
        return KeyFigure("–", label, measure.reason or "")
    remark = ""
    if measure.low is not None and measure.high is not None:
        remark = f"{percent(level)}: {measure.low:{sign}.3f} to {measure.high:{sign}.3f}"
    return KeyFigure(f"{measure.estimate:{sign}.3f}", label, remark)


def _general_remarks(appraisal: Appraisal) -> list[str]:
    """Return the remarks that are not about one finding; those stand at the end."""
    names = tuple(f"{name}:" for name in appraisal.metrics.findings)
    return [line for line in appraisal.remarks() if not line.startswith(names)]


def _findings(appraisal: Appraisal, _: Plots) -> Section | None:
    metrics = appraisal.metrics
    blocks: list[Block] = list(tables.by_finding(metrics))
    if "f1" in metrics.mean and metrics.thresholds is None:
        blocks.append(
            Prose(
                "Scores were not turned into readings, so there is no F1, MCC, sensitivity or "
                "specificity: no threshold was given (--threshold)."
            )
        )
    return Section("Finding by finding", blocks) if blocks else None


def _curves(_: Appraisal, plots: Plots) -> Section | None:
    drawn = _figures(plots, "roc", "precision_recall")
    return Section("Curves", drawn) if drawn else None


def _calibration(appraisal: Appraisal, plots: Plots) -> Section | None:
    metrics = appraisal.metrics
    if not metrics.n_in_mean.get("ece") and not metrics.n_in_mean.get("brier"):
        return None
    blocks: list[Block] = []
    if (fitted := metrics.calibration) is not None:
        blocks.append(
            Prose(f"Scores were calibrated: {fitted.method}, on {tables.tuned_on(fitted)}.")
        )
    blocks += [*_figures(plots, "reliability"), tables.calibration(metrics)]
    return Section("Calibration", blocks)


def _readers(appraisal: Appraisal, plots: Plots) -> Section | None:
    metrics = appraisal.metrics
    panel = metrics.panel
    if panel is None:
        return None
    shown = panel_statistics(panel)
    blocks: list[Block] = [tables.panel_means(panel, metrics)]
    if said := list(on_readers(panel)):
        blocks.append(Prose(*map(unbroken, said)))
    blocks += _figures(plots, *(f"readers_{s}" for s in shown))
    if panel.difference is not None:
        blocks += _figures(plots, *(f"model_minus_readers_{s}" for s in shown))
        blocks += [tables.model_and_readers(panel, metrics, s) for s in shown]
    if panel.agreement is not None:
        blocks.append(tables.agreement(panel.agreement))
    return Section("Readers", blocks)


def _subgroups(appraisal: Appraisal, plots: Plots) -> Section | None:
    groupings = appraisal.metrics.subgroups
    if not groupings:
        return None
    blocks = _figures(plots, "subgroups")
    unit = appraisal.metrics.settings["resampled"]
    blocks += [tables.subgroup_means(name, groups, unit) for name, groups in groupings.items()]
    blocks += [tables.subgroup_findings(name, groups) for name, groups in groupings.items()]
    return Section("Subgroups", blocks)


def _against(appraisal: Appraisal, plots: Plots) -> Section | None:
    found, names = appraisal.comparison, appraisal.names
    if found is None:
        return None
    blocks: list[Block] = [tables.comparison_means(found, names)]
    blocks += _figures(plots, "differences_auroc", "differences_average_precision")
    blocks += [
        tables.comparison_findings(found, names, statistic)
        for statistic in ("auroc", "average_precision")
        if found.difference.n_in_mean.get(statistic)
    ]
    return Section(f"Against {names[1]}", blocks)


def _gaps(appraisal: Appraisal, _: Plots) -> Section | None:
    general = set(_general_remarks(appraisal))
    blocks: list[Block] = []
    if (rows := tables.gaps(appraisal.metrics)) is not None:
        blocks.append(rows)
    tuned = appraisal.metrics.thresholds, appraisal.metrics.calibration
    said = [line for part in tuned if part is not None for line in part.remarks()]
    if own := [line for line in said if line not in general]:
        blocks.append(Prose(*own))
    return Section("What is undefined, and why", blocks) if blocks else None


def _settings(appraisal: Appraisal) -> dict[str, Any]:
    metrics = appraisal.metrics
    tuned: dict[str, Any] = {}
    if metrics.thresholds is not None:
        tuned["thresholds"] = f"{metrics.thresholds.rule}, {metrics.thresholds.source}"
    if metrics.calibration is not None:
        tuned["calibration"] = f"{metrics.calibration.method}, {metrics.calibration.source}"
    return {
        **metrics.settings,
        **tuned,
        **({"files": dict(appraisal.sources)} if appraisal.sources else {}),
        "versions": {name: version(name) for name in PACKAGES},
        "python": platform.python_version(),
    }
