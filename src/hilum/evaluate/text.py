"""Numbers with intervals as tables for a terminal, at most 80 columns wide."""

import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from hilum.evaluate.intervals import Measure
from hilum.evaluate.noninferiority import NonInferiority
from hilum.evaluate.orh import ReaderStudy
from hilum.evaluate.panel import Panel
from hilum.evaluate.scorecard import Scorecard
from hilum.evaluate.studies import MEAN, Verdict
from hilum.evaluate.subgroups import Subgroup

TITLES: Final = {
    "auroc": "AUROC",
    "average_precision": "Average precision",
    "partial_auroc": "Partial AUROC",
    "f1": "F1",
    "mcc": "MCC",
    "sensitivity": "Sensitivity",
    "specificity": "Specificity",
    "ppv": "PPV",
    "npv": "NPV",
    "brier": "Brier score",
    "ece": "Calibration error",
    "kappa": "Kappa",
}

_PAIRS: Final = (  # on the screen; the files have everything
    ("auroc", "average_precision"),
    ("partial_auroc",),
    ("f1", "mcc"),
    ("sensitivity", "specificity"),
)
_READINGS: Final = ("f1", "mcc", "sensitivity", "specificity")
_CELL_WIDTH: Final = 19  # "0.838 (0.812-0.861)"
_NAME_WIDTH: Final = 26  # "Enlarged Cardiomediastinum"; with the other columns, 80 in all


def as_text(measure: Measure, digits: int = 3) -> str:
    """Write a measure as ``0.838 (0.812-0.861)``, or ``undefined``."""
    if measure.estimate is None:
        return "undefined"
    text = f"{measure.estimate:.{digits}f}"
    if measure.low is None or measure.high is None:
        return f"{text} (undefined)" if measure.reason else text
    separator = "-" if measure.low >= 0 else " to "  # differences may be negative
    return f"{text} ({measure.low:.{digits}f}{separator}{measure.high:.{digits}f})"


def scorecard_text(card: Scorecard, level: float) -> str:
    """Return a table for each two statistics of the main ones, the rest only if asked for alone.

    Statistics that are defined for no finding are left out, unless nothing would be left.
    """
    pairs = [tuple(name for name in pair if name in card.mean) for pair in _PAIRS]
    pairs = [pair for pair in pairs if pair] or [tuple(card.mean)[:2]]
    defined = [pair for pair in pairs if any(card.n_in_mean[name] for name in pair)]
    return "\n\n".join("\n".join(_table(card, pair, level)) for pair in defined or pairs[:1])


def _table(card: Scorecard, statistics: tuple[str, ...], level: float) -> Iterator[str]:
    interval = f"({level:.0%} interval)"
    counts = sorted({card.n_in_mean[name] for name in statistics})
    rows = [["", "", "", *(TITLES[name] for name in statistics)]]
    rows.append(["finding", "n", "pos.", *(interval for _ in statistics)])
    for finding, found in card.findings.items():
        measures = (as_text(found.measures[name]) for name in statistics)
        rows.append([finding, str(found.n), str(found.positives), *measures])
    label = f"mean of {' / '.join(map(str, counts))}"
    rows.append([label, "", "", *(as_text(card.mean[name]) for name in statistics)])
    # an interval from below 0 is wider than others; names make room for it
    widest = max(_CELL_WIDTH, *(len(cell) for row in rows for cell in row[3:]))
    room = _NAME_WIDTH - len(statistics) * (widest - _CELL_WIDTH)
    for name, n, positives, *cells in rows:
        numbers = "".join(f" {cell:>{widest}}" for cell in cells)
        yield f"{short(name, room)} {n:>6} {positives:>6}{numbers}".rstrip()


def short(name: str, width: int = _NAME_WIDTH) -> str:
    """Pad or cut a name to a column's width."""
    return f"{name if len(name) <= width else name[: width - 1] + '…':<{width}}"


def comparison_text(
    cards: tuple[Scorecard, Scorecard, Scorecard], statistic: str, level: float
) -> str:
    """Return first, second, their difference and its p-value, a line per finding."""
    gaps = cards[2]
    interval = f"({level:.0%} interval)"
    lines = [
        f"{short(TITLES[statistic])} {'first':>7} {'second':>7} {'difference':>25} {'p':>8}",
        f"{short('')} {'':>7} {'':>7} {interval:>25}",
    ]
    for name in (*gaps.findings, None):
        trio = [
            (card.mean if name is None else card.findings[name].measures)[statistic]
            for card in cards
        ]
        first, second = (as_text(Measure(measure.estimate)) for measure in trio[:2])
        label = short(name or f"mean of {gaps.n_in_mean[statistic]}")
        p = p_text(trio[2])
        lines.append(f"{label} {_cut(first)} {_cut(second)} {as_text(trio[2]):>25} {p:>8}".rstrip())
    return "\n".join(lines)


def _cut(text: str) -> str:
    return f"{'–' if text == 'undefined' else text:>7}"


def p_text(measure: Measure) -> str:
    """Write a p-value, the corrected one where there is one; nothing where there is none."""
    p = measure.p_value if measure.p_adjusted is None else measure.p_adjusted
    if p is None:
        return ""
    return "<0.001" if p < 0.001 else f"{p:.3f}"


def panel_text(panel: Panel, model: Scorecard, level: float) -> str:
    """Return readers and a model as a table of means over the findings that they share.

    Parameters
    ----------
    panel
        The readers, and what the model has over them.
    model
        The model's own numbers.
    level
        Of the intervals.
    """
    shown = panel_statistics(panel)
    counts = sorted({panel.mean.n_in_mean[name] for name in shown})
    label = f"means of {' / '.join(map(str, counts))} findings" if counts != [1] else "one finding"
    lines = [
        _wide("", (TITLES[name] for name in shown)),
        _wide(label, [f"({level:.0%} interval)"] * len(shown)),
    ]
    for name, measures in panel_rows(panel, model):
        lines.append(_wide(name, (as_text(measures[s]) for s in shown if s in measures)))
        p_values = [p_text(measures[s]) for s in shown if s in measures]
        lines += [_wide("  p", p_values)] if any(p_values) else []
    remarks = [_filled(text) for text in panel_remarks(panel)]
    return "\n".join([*lines, *(["", *remarks] if remarks else [])])


def panel_statistics(panel: Panel) -> tuple[str, ...]:
    """Return the two statistics by which readers are shown: F1 and MCC where they are there."""
    measured = panel.mean.mean
    return tuple([s for s in _READINGS if s in measured] or measured)[:2]


def panel_rows(panel: Panel, model: Scorecard) -> list[tuple[str, Mapping[str, Measure]]]:
    """Return means over findings: of each reader, of what joins them, of the model beside them.

    Names and measures, in pairs: a reader may have any name.
    """
    n = len(panel.readers)
    rows = [(name, card.mean) for name, card in panel.readers.items()]
    if n > 1:
        rows.append((f"mean of {n} readers", panel.mean.mean))
    if panel.majority is not None:
        rows.append(("majority of readers", panel.majority.mean))
    if panel.difference is not None:
        rows.append(("model", model_beside_readers(panel, model)))
        rows.append(("model minus readers", panel.difference.mean))
    if others := panel.studies.get(MEAN):
        gaps = {name: study_measure(study) for name, study in others.items()}
        rows.append(("  readers like these", gaps))
    return rows


def study_measure(study: ReaderStudy) -> Measure:
    """Return what a reader study says of the difference, as a measure."""
    gap = study.difference
    return Measure(gap.estimate, gap.low, gap.high, reason=gap.reason, p_value=gap.p_value)


def model_beside_readers(panel: Panel, model: Scorecard) -> dict[str, Measure]:
    """Return the model's means over what it is compared with its readers on.

    Where those are not all of its findings and images, its own interval is not theirs: the
    estimate then stands alone.
    """
    gap = panel.difference
    assert gap is not None
    read_all = all(
        card.findings[name].n == model.findings[name].n
        for card in panel.readers.values()
        for name in gap.findings
    )
    out = {}
    for name, difference in gap.mean.items():
        readers = panel.mean.mean[name]
        if read_all and gap.n_in_mean[name] == model.n_in_mean[name]:
            out[name] = model.mean[name]
        elif difference.estimate is None or readers.estimate is None:
            out[name] = Measure(None, reason=difference.reason)
        else:
            out[name] = Measure(readers.estimate + difference.estimate)
    return out


def panel_remarks(panel: Panel) -> Iterator[str]:
    """Say in a sentence each how far readers agree, and what the margin makes of the model."""
    if panel.agreement is not None:
        kappa = panel.agreement.mean["kappa"]
        yield f"Agreement between readers: kappa {as_text(kappa)}, mean of pairs and findings."
    for name, verdict in panel.verdicts.get(MEAN, {}).items():
        if name in panel_statistics(panel):
            yield verdict_text(TITLES[name], verdict, len(panel.readers))


def verdict_text(name: str, verdict: Verdict, n_readers: int) -> str:
    """Say whether a model is worse than readers by no more than a margin, in a sentence."""
    these = "this reader" if n_readers == 1 else f"these {n_readers} readers"
    said = [(these, verdict.these_readers), ("readers like these", verdict.such_readers)]
    parts = [f"{_judged(one)} {whom} ({_grounds(one)})" for whom, one in said if one is not None]
    margin = next((one.margin for _, one in said if one is not None), None)
    if margin is None:
        return f"{name}: no verdict on non-inferiority without resamples or several readers."
    return f"{name}, margin {margin:g}: the model is {', and '.join(parts)}."


def _judged(one: NonInferiority) -> str:
    if one.noninferior is None:
        return "not judged against"
    if one.superior:
        return "superior to"
    return "non-inferior to" if one.noninferior else "not shown to be non-inferior to"


def _grounds(one: NonInferiority) -> str:
    if one.low is None or one.p_value is None:
        return one.reason or "no interval"
    p = "p < 0.001" if one.p_value < 0.001 else f"p = {one.p_value:.3f}"
    return f"interval from {one.low:.3f}, one-sided {p}"


def subgroup_text(column: str, groups: Mapping[str, Subgroup], level: float) -> str:
    """Return a table of one column's groups for a terminal: the mean AUROC, and minus the rest."""
    statistic = subgroup_statistic(groups)
    interval = f"({level:.0%} interval)"
    lines = [
        _group("", "", "", f"mean {TITLES[statistic]}", "minus the rest", ""),
        _group(column, "images", "of", interval, interval, "p"),
    ]
    for name, group in groups.items():
        rest = None if group.against_rest is None else group.against_rest.mean[statistic]
        gap, p = ("", "") if rest is None else (as_text(rest), p_text(rest))
        count = str(group.card.n_in_mean[statistic])
        own = as_text(group.card.mean[statistic])
        lines.append(_group(name, str(group.images), count, own, gap, p))
    return "\n".join(lines)


def subgroup_statistic(groups: Mapping[str, Subgroup]) -> str:
    """Return the statistic by which subgroups are shown: AUROC where it is there."""
    measured = next(iter(groups.values())).card.mean
    return "auroc" if "auroc" in measured else next(iter(measured))


def resampling_text(settings: Mapping[str, Any]) -> str:
    """Say in a sentence what the intervals are and what was resampled for them."""
    count, column = settings["units"], settings["resampled"]
    what = {"image": "images", "patient_id": "patients", "study_id": "studies"}.get(column)
    units = f"{count:,} {what}" if what else f"{count:,} values of {column}"
    resamples = f"{settings['bootstrap']:,} resamples of {units}"
    if settings["stratify"]:
        resamples += f", stratified by {settings['stratify']}"
    if settings["interval"] == "delong":
        rest = f"else percentiles of {resamples}" if settings["bootstrap"] else "else none"
        return f"Intervals: DeLong's (AUROC) and Wilson's (proportions) for {units}, {rest}."
    if not settings["bootstrap"]:
        return "No intervals: nothing was resampled."
    kinds = {"percentile": "percentiles", "bca": "BCa", "chexzero": "CheXzero's convention"}
    return f"Intervals: {kinds[settings['interval']]}, {resamples}."


def closing_text(settings: Mapping[str, Any], warnings: Sequence[str]) -> str:
    """Return what stands below all tables: what was resampled, and what is too good."""
    return "\n".join(_filled(line) for line in (resampling_text(settings), *warnings))


def _wide(name: str, cells: Iterable[str]) -> str:
    return (short(name) + "".join(f" {cell:>25}" for cell in cells)).rstrip()


def _group(name: str, images: str, findings: str, own: str, gap: str, p: str) -> str:
    return f"{short(name, 14)} {images:>6} {findings:>4} {own:>19} {gap:>25} {p:>6}".rstrip()


def _filled(text: str) -> str:
    return textwrap.fill(text, 80, subsequent_indent="  ")
