"""The plots of an appraisal, each with a text that stands for it and a caption."""

from collections.abc import Iterator
from typing import Final

import matplotlib as mpl

from hilum import plots
from hilum.appraisal.panels import (
    BINS,
    MOST,
    precision_recall_panels,
    reliability_panels,
    roc_panels,
    subgroup_panels,
)
from hilum.appraisal.record import Appraisal
from hilum.appraisal.sentences import percent, short, word
from hilum.evaluate.intervals import Measure
from hilum.evaluate.panel import Panel
from hilum.evaluate.scorecard import Scorecard
from hilum.evaluate.text import TITLES, model_beside_readers, panel_statistics, subgroup_statistic
from hilum.report import Figure, figure

Drawn = Iterator[tuple[str, Figure]]

_NUMBERS: Final = "the numbers are in the tables."


def draw(appraisal: Appraisal) -> dict[str, Figure]:
    """Draw whatever there is to draw.

    Returns
    -------
    Plots by the name of their file, without its ending.
    """
    drawn: dict[str, Figure] = {}
    with mpl.rc_context({"text.parse_math": False}):  # a name may hold dollars and backslashes
        for part in (_curves, _reliability, _readers, _against_readers, _subgroups, _comparison):
            drawn.update(part(appraisal))
    return drawn


def _curves(appraisal: Appraisal) -> Drawn:
    card = appraisal.metrics
    who = " and ".join(appraisal.names[: 1 if appraisal.comparison is None else 2])
    also = " Readers are points." if card.panel else ""
    if (many := len(card.findings)) > MOST:
        also += f" The {MOST} findings with the most positives, of {many}."
    if card.n_in_mean.get("auroc"):
        level = percent(card.settings["level"])
        bands = f" Bands: pointwise {level} intervals." if card.settings["bootstrap"] else ""
        yield (
            "roc",
            figure(
                plots.roc(roc_panels(appraisal)),
                alt=f"ROC curves of {who}, {_range(card, 'auroc')}; {_NUMBERS}",
                caption=f"ROC curves.{bands}{also}",
            ),
        )
    if card.n_in_mean.get("average_precision"):
        span = _range(card, "average_precision")
        yield (
            "precision_recall",
            figure(
                plots.precision_recall(precision_recall_panels(appraisal)),
                alt=f"Precision-recall curves of {who}, {span}; {_NUMBERS}",
                caption="Precision-recall curves, in the steps that the data make. The dashed line "
                f"is the prevalence: what a guess reaches.{also}",
            ),
        )


def _range(card: Scorecard, statistic: str) -> str:
    found = [f.measures[statistic].estimate for f in card.findings.values()]
    known = [value for value in found if value is not None]
    return f"{TITLES[statistic]} from {min(known):.3f} to {max(known):.3f}"


def _reliability(appraisal: Appraisal) -> Drawn:
    if panels := reliability_panels(appraisal):
        yield (
            "reliability",
            figure(
                plots.reliability(panels),
                alt=f"Share of positives against the mean score in {BINS} bins; {_NUMBERS}",
                caption=f"Share of images with the finding against their mean score, in {BINS} "
                "bins of as many images each, with Wilson intervals; below the diagonal, scores "
                "promise too much. The strip shows where the scores lie.",
            ),
        )


def _readers(appraisal: Appraisal) -> Drawn:
    panel = appraisal.metrics.panel
    if panel is None:
        return
    findings = list(panel.mean.findings)
    mean = f"mean of {len(panel.readers)} readers"
    for statistic in panel_statistics(panel):
        title, models = TITLES[statistic], _model(appraisal, panel, statistic)
        plot = plots.readers(
            [*findings, "Mean"],
            {name: _rows(card, findings, statistic) for name, card in panel.readers.items()},
            models,
            mean=(mean, _rows(panel.mean, findings, statistic)) if len(panel.readers) > 1 else None,
            x=title,
            last_is_mean=True,
        )
        beside = " and of the model at its threshold" if models else ""
        yield (
            f"readers_{statistic}",
            figure(
                plot,
                alt=f"{title} of each reader{beside}, by finding; {_NUMBERS}",
                caption=f"{title} of each reader{beside}.",
            ),
        )


def _rows(card: Scorecard, findings: list[str], statistic: str) -> list[Measure]:
    """Return a statistic of these findings, and its mean."""
    return [*(card.findings[name].measures[statistic] for name in findings), card.mean[statistic]]


def _model(appraisal: Appraisal, panel: Panel, statistic: str) -> dict[str, list[Measure]]:
    """Return the model's row beside its readers, or nothing where it has no readings."""
    if panel.difference is None:
        return {}
    own = _rows(appraisal.metrics, list(panel.mean.findings), statistic)
    own[-1] = model_beside_readers(panel, appraisal.metrics)[statistic]
    return {f"{appraisal.names[0]}, threshold": own}


def _against_readers(appraisal: Appraisal) -> Drawn:
    panel = appraisal.metrics.panel
    if panel is None or panel.difference is None:
        return
    for statistic in panel_statistics(panel):
        title, findings = TITLES[statistic], list(panel.difference.findings)
        plot = plots.differences(
            [*findings, "Mean"],
            _rows(panel.difference, findings, statistic),
            x=f"Model minus readers, {title}",
            sides=("readers better", "model better"),
            margin=appraisal.metrics.settings["margin"],
            last_is_mean=True,
        )
        yield (
            f"model_minus_readers_{statistic}",
            figure(
                plot,
                alt=f"{title} of the model minus the readers' mean, by finding; {_NUMBERS}",
                caption=f"{title} of {appraisal.names[0]} minus the mean of the readers, from the "
                "same resamples.",
            ),
        )


def _subgroups(appraisal: Appraisal) -> Drawn:
    groupings = appraisal.metrics.subgroups
    if not groupings:
        return
    statistic = subgroup_statistic(next(iter(groupings.values())))
    title = TITLES[statistic]
    yield (
        "subgroups",
        figure(
            plots.subgroups(subgroup_panels(appraisal, statistic), x=title),
            alt=f"Mean {title} in each subgroup; {_NUMBERS}",
            caption=f"Mean {title} by subgroup, over the findings that are defined there. The "
            "dashed line and the shade are all images. Positive: labels of all findings together.",
        ),
    )


def _comparison(appraisal: Appraisal) -> Drawn:
    if appraisal.comparison is None:
        return
    gaps, (first, second) = appraisal.comparison.difference, appraisal.names
    findings = list(gaps.findings)
    for statistic in ("auroc", "average_precision"):
        if not gaps.n_in_mean.get(statistic):
            continue
        title = TITLES[statistic]
        plot = plots.differences(
            [*findings, "Mean"],
            _rows(gaps, findings, statistic),
            x=f"Difference in {word(statistic)}",
            sides=(f"{short(second)} better", f"{short(first)} better"),
            last_is_mean=True,
        )
        yield (
            f"differences_{statistic}",
            figure(
                plot,
                alt=f"{title} of {first} minus that of {second}, by finding; {_NUMBERS}",
                caption=f"{title} of {first} minus {second}, paired: the same patients in both.",
            ),
        )
