"""The tables of an appraisal's page."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from hilum.appraisal.sentences import percent, short
from hilum.evaluate.instruments import NO_THRESHOLD
from hilum.evaluate.intervals import Measure
from hilum.evaluate.layout import undefined
from hilum.evaluate.panel import Panel
from hilum.evaluate.recalibration import Calibration
from hilum.evaluate.result import Comparison, Metrics
from hilum.evaluate.rules import parse_rule
from hilum.evaluate.scorecard import Scorecard
from hilum.evaluate.subgroups import Subgroup
from hilum.evaluate.text import TITLES, model_beside_readers, p_text, panel_rows, subgroup_statistic
from hilum.evaluate.thresholds import Thresholds
from hilum.report import Cell, Rows

_RANKING: Final = ("auroc", "average_precision", "partial_auroc")
_RATES: Final = ("sensitivity", "specificity", "ppv", "npv")
_BALANCED: Final = ("f1", "mcc")
_CALIBRATION: Final = ("brier", "ece")
_MAJORITY: Final = " The majority is what more than half of the readers say."
_CRITERIA: Final = {"mcc": "MCC", "f1": "F1", "youden": "Youden's index"}
_BESIDE: Final = {"  readers like these": "model minus readers like these"}


def by_finding(metrics: Metrics) -> Iterator[Rows]:
    """Yield the model's own numbers: of its ranking, and of its readings."""
    level = percent(metrics.settings["level"])
    if ranking := [name for name in _RANKING if name in metrics.mean]:
        counts: dict[str, dict[str, Cell]] = {
            "Images": {name: found.n for name, found in metrics.findings.items()},
            "Positive": {name: found.positives for name, found in metrics.findings.items()},
        }
        yield _card(metrics, ranking, counts, f"How scores rank images, with {level} intervals.")
    limits: dict[str, dict[str, Cell]] = {}
    if metrics.thresholds is not None:
        limits["Threshold"] = {**metrics.thresholds.numbers()}
    for names, beside in ((_BALANCED, limits), (_RATES, {})):
        if shown := [name for name in names if metrics.n_in_mean.get(name)]:
            caption = f"Readings at the threshold, with {level} intervals. {_thresholds(metrics)}"
            yield _card(metrics, shown, beside, caption)


def _thresholds(metrics: Metrics) -> str:
    found = metrics.thresholds
    if found is None:
        return ""
    if found.rule == "given":
        return f"Thresholds: from {found.source}."
    rule = parse_rule(found.rule)
    if rule.name == "fixed":
        return f"Threshold: {rule.target:g} for every finding."
    what = f"best {_CRITERIA[rule.name]}" if rule.target is None else f"{rule}"
    return f"Thresholds: {what} on {tuned_on(found)}."


def tuned_on(found: Thresholds | Calibration) -> str:
    """Say what thresholds or a calibration were fitted to."""
    return "the images that are reported" if found.optimistic else found.source


def _card(
    metrics: Metrics,
    statistics: Sequence[str],
    beside: Mapping[str, Mapping[str, Cell]],
    caption: str,
) -> Rows:
    """Return statistics by finding; `beside` has other columns by title and finding."""
    rows: list[list[Cell]] = []
    for name, found in metrics.findings.items():
        first: list[Cell] = [name, *(cells.get(name) for cells in beside.values())]
        rows.append([*first, *(found.measures[s] for s in statistics)])
    blank: list[Cell] = [""] * len(beside)
    means = (metrics.mean[s] for s in statistics)
    rows.append([mean_of(metrics, statistics), *blank, *means])
    titles = [TITLES[s] for s in statistics]
    return Rows(["Finding", *beside, *titles], rows, caption, last_is_total=True)


def mean_of(card: Scorecard, statistics: Sequence[str]) -> str:
    """Name the row of means, with the numbers of findings that it is over."""
    counts = sorted({card.n_in_mean[name] for name in statistics})
    return f"Mean of {' / '.join(map(str, counts))}"


def calibration(metrics: Metrics) -> Rows:
    """Return Brier score and calibration error, before and after where scores were calibrated."""
    cards: dict[str, Scorecard] = {"": metrics}
    if metrics.uncalibrated is not None:
        cards = {" as given": metrics.uncalibrated, " calibrated": metrics}
    names = [s for s in _CALIBRATION if s in metrics.mean]
    shown = [(s, suffix) for s in names for suffix in cards]
    rows: list[list[Cell]] = [
        [name, *(_bare(s, cards[suffix].findings[name].measures[s]) for s, suffix in shown)]
        for name in metrics.findings
    ]
    means = (_bare(s, cards[suffix].mean[s]) for s, suffix in shown)
    rows.append([mean_of(metrics, names), *means])
    return Rows(
        ["Finding", *(TITLES[s] + suffix for s, suffix in shown)],
        rows,
        f"Brier score with {percent(metrics.settings['level'])} intervals, and expected "
        "calibration error; 0 is best. Chance alone moves bins apart, in resamples even more: the "
        "calibration error of a calibrated model is above 0, and it has no interval that can be "
        "relied on. Compare it on the same images only.",
        last_is_total=True,
    )


def _bare(statistic: str, measure: Measure) -> Measure:
    """Leave out the percentiles of a calibration error, which lie too high."""
    if statistic != "ece" or measure.estimate is None:
        return measure
    return Measure(measure.estimate)


def panel_means(panel: Panel, metrics: Metrics) -> Rows:
    """Return each reader's means, what joins them, and the model."""
    shown = [s for s in (*_BALANCED, "sensitivity", "specificity") if s in panel.mean.mean]
    shown = shown or list(panel.mean.mean)[:4]
    counts = sorted({panel.mean.n_in_mean[s] for s in shown})
    over = f"Means over the {' / '.join(map(str, counts))} findings"
    over = "The one finding" if counts == [1] else over
    return Rows(
        ["", *(TITLES[s] for s in shown)],
        [
            [_BESIDE.get(name, name), *(measures.get(s) for s in shown)]
            for name, measures in panel_rows(panel, metrics)
        ],
        f"{over} that all tables share, with {percent(metrics.settings['level'])} intervals."
        f"{_MAJORITY if panel.majority else ''}",
    )  # fmt: skip


def model_and_readers(panel: Panel, metrics: Metrics, statistic: str) -> Rows:
    """Return the readers' mean, the model and their difference, by finding."""
    assert panel.difference is not None
    gaps = panel.difference
    rows: list[list[Cell]] = []
    for name, found in gaps.findings.items():
        gap = found.measures[statistic]
        readers = panel.mean.findings[name].measures[statistic]
        model = metrics.findings[name].measures[statistic]
        rows.append([name, readers, model, gap, p_text(gap)])
    gap, model = gaps.mean[statistic], model_beside_readers(panel, metrics)[statistic]
    rows.append([mean_of(gaps, [statistic]), panel.mean.mean[statistic], model, gap, p_text(gap)])
    title = TITLES[statistic]
    return Rows(
        ["Finding", "Mean of readers", "Model", "Difference", "p"],
        rows,
        f"{title} of the readers and of the model, and model minus readers in the same "
        f"resamples.{_corrected(gaps)}",
        last_is_total=True,
    )


def _corrected(card: Scorecard) -> str:
    """Say that p-values are corrected, where they are."""
    tested = (m for found in card.findings.values() for m in found.measures.values())
    if all(m.p_adjusted is None for m in tested):
        return ""
    return " P-values are corrected for the number of findings (Holm), but for that of the mean."


def agreement(card: Scorecard) -> Rows:
    """Return how far readers agree, by finding."""
    rows: list[list[Cell]] = [
        [name, found.n, found.measures["kappa"]] for name, found in card.findings.items()
    ]
    rows.append([mean_of(card, ["kappa"]), "", card.mean["kappa"]])
    return Rows(
        ["Finding", "Images", "Kappa"],
        rows,
        "Agreement between readers: Cohen's kappa, mean over pairs. A low one may mean a rare "
        "finding rather than disagreement. Images: those that two or more have read.",
        last_is_total=True,
    )


def subgroup_means(column: str, groups: Mapping[str, Subgroup], unit: str) -> Rows:
    """Return one column's groups: counts, the mean over findings, and minus everybody else.

    `unit` is what was resampled, as `metrics.json` names it.
    """
    statistic = subgroup_statistic(groups)
    units = {"image": [], "patient_id": ["Patients"]}.get(unit, [f"Values of {unit}"])
    rows: list[list[Cell]] = []
    for name, group in groups.items():
        rest = None if group.against_rest is None else group.against_rest.mean[statistic]
        counts: list[Cell] = [group.images, *([group.units] if units else [])]
        counts.append(group.card.n_in_mean[statistic])
        row: list[Cell] = [name, *counts, group.card.mean[statistic]]
        rows.append([*row, rest, "" if rest is None else p_text(rest)])
    title = TITLES[statistic]
    return Rows(
        [column, "Images", *units, "Findings", f"Mean {title}", "Minus the rest", "p"],
        rows,
        f"Mean {title} by {column}, over the findings that are defined there, and its distance "
        "from all other images in the same resamples, over the findings defined in both.",
    )


def subgroup_findings(column: str, groups: Mapping[str, Subgroup]) -> Rows:
    """Return one column's groups, finding by finding, with the counts behind each number."""
    statistic = subgroup_statistic(groups)
    rows: list[list[Cell]] = []
    corrected = ""
    for finding in next(iter(groups.values())).card.findings:
        for at, (name, group) in enumerate(groups.items()):
            own, rest = group.card.findings[finding], group.against_rest
            gap = None if rest is None else rest.findings[finding].measures[statistic]
            corrected = corrected or ("" if rest is None else _corrected(rest))
            row: list[Cell] = [finding if at == 0 else "", name, own.n, own.positives]
            rows.append([*row, own.measures[statistic], gap, p_text(gap) if gap else ""])
    title = TITLES[statistic]
    by_chance = " Of many comparisons, one in twenty falls below 0.05 by chance."
    return Rows(
        ["Finding", column, "Images", "Positive", title, "Minus the rest", "p"],
        rows,
        f"{title} by finding and {column}.{corrected or by_chance}",
    )


def comparison_means(comparison: Comparison, names: tuple[str, str]) -> Rows:
    """Return the means of both models and their difference, a row per statistic."""
    gaps = comparison.difference
    rows: list[list[Cell]] = [
        [
            f"{TITLES[s]}, mean of {gaps.n_in_mean[s]}",
            _bare(s, comparison.first.mean[s]),
            _bare(s, comparison.second.mean[s]),
            gap,
            p_text(gap),
        ]
        for s, gap in gaps.mean.items()
        if gaps.n_in_mean[s]
    ]
    return Rows(
        ["", *map(short, names), "Difference", "p"],
        rows,
        f"Means over findings, and {names[0]} minus {names[1]}: paired, in the same resamples. "
        "Of Brier score and calibration error less is better.",
    )


def comparison_findings(comparison: Comparison, names: tuple[str, str], statistic: str) -> Rows:
    """Return one statistic of both models and their difference, a row per finding."""
    gaps = comparison.difference
    rows: list[list[Cell]] = []
    for name, found in gaps.findings.items():
        first = comparison.first.findings[name].measures[statistic]
        second = comparison.second.findings[name].measures[statistic]
        gap = found.measures[statistic]
        rows.append([name, first, second, gap, p_text(gap)])
    gap = gaps.mean[statistic]
    trio = comparison.first.mean[statistic], comparison.second.mean[statistic], gap
    rows.append([mean_of(gaps, [statistic]), *trio, p_text(gap)])
    return Rows(
        ["Finding", *map(short, names), "Difference", "p"],
        rows,
        f"{TITLES[statistic]} of {names[0]} and {names[1]} by finding, paired.{_corrected(gaps)}",
        last_is_total=True,
    )


def gaps(metrics: Metrics) -> Rows | None:
    """Return what is undefined and why, and what lost resamples; None if nothing is."""
    rows: list[list[Cell]] = []
    for name, entries in undefined(metrics).items():
        same: dict[tuple[str, int], list[str]] = {}
        for statistic, entry in entries.items():
            why = entry["reason"] or "resamples in which it is undefined are left out"
            nowhere = name == "mean" and not metrics.n_in_mean[statistic]  # said by the findings
            if why != NO_THRESHOLD and not nowhere:
                same.setdefault((why, entry["resamples"]), []).append(TITLES[statistic])
        place = "Mean" if name == "mean" else name
        rows += [[place, ", ".join(titles), why, lost] for (why, lost), titles in same.items()]
    if not rows:
        return None
    return Rows(
        ["Finding", "Statistic", "Why", f"Resamples of {metrics.settings['bootstrap']:,}"],
        rows,
        "What is undefined, or has no interval, or was undefined in some resamples. None of "
        "these was replaced by a number.",
    )
