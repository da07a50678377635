"""A trial and an analysis as figures: what labels are worth, and what was selected."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

from scipy.stats import t as student

from hilum.evaluate.intervals import Measure
from hilum.plots.canvas import as_svg
from hilum.plots.forests import forest
from hilum.select.analysis import FLOOR, Analysis, Row
from hilum.select.comparison import ALL_SEEN, ALL_UNSEEN, Comparison

if TYPE_CHECKING:
    from matplotlib.figure import Figure

GROUPS: Final = {ALL_SEEN: "seen", ALL_UNSEEN: "unseen"}
_MOST: Final = 6  # series in a figure: as many as colours and markers that are told apart
_APART: Final = {"l2": "L2", "l1": "L1", "chebyshev": "Chebyshev", "cosine": "cosine",
                 "age": "age"}  # fmt: skip
_SHARES: Final = {"female": "women", "frontal": "frontal films", "ap": "AP of these"}


def draw_comparison(comparison: Comparison) -> Iterator[tuple[str, "Figure"]]:
    """Yield a name and a figure for each prevalence, and findings seen and unseen.

    One row per strategy: by how much the reference exceeds it, at up to six budgets, with
    intervals over patients.
    """
    design, reference = comparison.design, comparison.reference
    gains = {
        (cell.prevalence, cell.finding, cell.budget, cell.strategy): cell.gain
        for cell in comparison.cells()
    }
    others = [name for name in comparison.strategies if name != reference]
    for prevalence in design.prevalences:
        for group, short in GROUPS.items():
            if (prevalence, group, design.budgets[0], reference) not in gains:
                continue
            series = {
                f"{budget} of {design.plan.pool:,} labelled": [
                    gains[prevalence, group, budget, name] or Measure(None) for name in others
                ]
                for budget in design.budgets[:_MOST]
            }
            x = f"AUROC of {reference} minus the strategy's"
            yield (
                f"comparison_{short}_{100 * prevalence:g}",
                forest([f"minus {name}" for name in others], series, x=x, chance=0.0),
            )


def draw_analysis(analysis: Analysis) -> Iterator[tuple[str, "Figure"]]:
    """Yield a name and a figure of distances, and of who and what was selected.

    Intervals are Student's over tasks. A Wasserstein distance is given in multiples of that
    between two random selections.
    """
    rows = {(row.findings, row.measure, row.strategy): row for row in analysis.rows()}
    names = analysis.strategies[:_MOST]
    for group, short in GROUPS.items():
        found = {(measure, name): row for (of, measure, name), row in rows.items() if of == group}
        apart = {f"{measure}_w1": text for measure, text in _APART.items()}
        apart = {measure: text for measure, text in apart.items() if _floor(found, measure)}
        if apart:
            series = {
                name: [_in_floors(found, measure, name) for measure in apart] for name in names
            }
            x = "Wasserstein distance to a random selection\n(random to random = 1)"
            yield f"distances_{short}", forest([*apart.values()], series, x=x, chance=1.0)
        shares = _SHARES | {
            measure: measure.removeprefix("has ")
            for measure in analysis.measures
            if measure.startswith("has ")
        }
        shares = {
            m: text for m, text in shares.items() if any((m, name) in found for name in names)
        }
        if shares:
            series = {name: [_interval(found.get((m, name))) for m in shares] for name in names}
            x = "Share of the images selected"
            yield f"selected_{short}", forest([*shares.values()], series, x=x, chance=None)


def save_figures(figures: Iterator[tuple[str, "Figure"]], folder: str | Path) -> list[Path]:
    """Write each figure to NAME.svg."""
    out = []
    for name, figure in figures:
        path = Path(folder) / f"{name}.svg"
        path.write_bytes(as_svg(figure))
        out.append(path)
    return out


def _interval(row: Row | None, unit: float = 1.0) -> Measure:
    """Return the mean over tasks with Student's 95 % interval, in units."""
    if row is None:
        return Measure(None)
    mean = row.mean / unit
    if row.sd is None:
        return Measure(mean)
    half = float(student.ppf(0.975, row.tasks - 1)) * row.sd / row.tasks**0.5 / unit
    return Measure(mean, mean - half, mean + half)


def _floor(found: Mapping[tuple[str, str], Row], measure: str) -> float:
    """Return the mean distance of two random selections, 0 where it is not known."""
    row = found.get((measure, FLOOR))
    return 0.0 if row is None else row.mean


def _in_floors(found: Mapping[tuple[str, str], Row], measure: str, name: str) -> Measure:
    return _interval(found.get((measure, name)), _floor(found, measure))
