"""Numbers with intervals as tables for a terminal, at most 80 columns wide."""

from collections.abc import Iterator
from typing import Final

from hilum.evaluate.intervals import Measure
from hilum.evaluate.scorecard import Scorecard

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
    yield _line("", "", "", *(TITLES[name] for name in statistics))
    yield _line("finding", "n", "pos.", *(interval for _ in statistics))
    for finding, found in card.findings.items():
        cells = (as_text(found.measures[name]) for name in statistics)
        yield _line(finding, str(found.n), str(found.positives), *cells)
    counts = sorted({card.n_in_mean[name] for name in statistics})
    label = f"mean of {' / '.join(str(count) for count in counts)}"
    yield _line(label, "", "", *(as_text(card.mean[name]) for name in statistics))


def _line(name: str, n: str, positives: str, *cells: str) -> str:
    numbers = "".join(f" {cell:>19}" for cell in cells)
    return f"{short(name)} {n:>6} {positives:>6}{numbers}".rstrip()


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
