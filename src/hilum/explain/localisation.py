"""What the scores of many maps say: means with intervals by patient, beside the baselines."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from hilum.evaluate.draws import MEMORY, Draws
from hilum.evaluate.intervals import Measure, p_value, percentile
from hilum.evaluate.text import as_text
from hilum.explain.fidelity import MEASURED
from hilum.explain.saliency import Origin

Floats = NDArray[np.float64]

BEST: Final = "iou_best"
"""The highest of the mean overlaps over the thresholds. Chosen on these very images, so a little
optimistic; the baselines choose theirs in the same way."""

MODEL: Final = "model"
ALL: Final = "all maps"
MEAN: Final = "mean of findings"

Measures = dict[str, Measure]


@dataclass(frozen=True, eq=False)
class Values:
    """What was measured of each map, before anything is averaged.

    Parameters
    ----------
    image_ids, targets, patients : (m,)
        Of the maps.
    blank : (m,)
        Which of them are no map.
    by_series
        Of the model and of each baseline: (m, n_measured), NaN where there is none.
    """

    image_ids: tuple[str, ...]
    targets: tuple[str, ...]
    patients: tuple[str, ...]
    blank: NDArray[np.bool_]
    by_series: dict[str, Floats]


@dataclass(frozen=True)
class Settings:
    """How maps were scored; see `score_maps`."""

    regions: str
    tolerance: float
    draws: int
    bootstrap: int
    level: float
    seed: int


@dataclass(frozen=True)
class Localised:
    """How well the maps of some findings point at them.

    Parameters
    ----------
    n, patients, blank
        Maps, patients, and maps that are blank: they score 0.
    measures
        By series (the model and each baseline), then by statistic.
    differences
        The model less a baseline, by baseline, then by statistic.
    """

    n: int
    patients: int
    blank: int
    measures: Mapping[str, Measures]
    differences: Mapping[str, Measures]


@dataclass(frozen=True, eq=False)
class Localisation:
    """Maps scored against what is marked.

    Parameters
    ----------
    findings
        By name; then `ALL`, every map alike, and `MEAN`, every finding alike.
    values
        Of each map.
    settings, origin
        How they were scored, and what made them.
    """

    findings: Mapping[str, Localised]
    values: Values
    settings: Settings
    origin: Origin

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON types."""
        return {
            "findings": {name: asdict(one) for name, one in self.findings.items()},
            "settings": asdict(self.settings),
            "origin": asdict(self.origin) | {"grid": list(self.origin.grid)},
        }

    def rows(self) -> list[list[Any]]:
        """Return a table: a row per finding and series, with a header."""
        first = next(iter(self.findings.values()))
        names = list(first.measures[MODEL])
        ends = [f"{name}{end}" for name in names for end in ("", "_low", "_high")]
        out: list[list[Any]] = [["finding", "series", "n", "patients", "blank", *ends]]
        for finding, one in self.findings.items():
            minus = {f"{MODEL} minus {name}": found for name, found in one.differences.items()}
            for series, found in {**one.measures, **minus}.items():
                cells = [(m.estimate, m.low, m.high) for m in found.values()]
                blank = one.blank if series == MODEL else None
                out.append(
                    [finding, series, one.n, one.patients, blank, *(v for c in cells for v in c)]
                )
        return out

    def to_text(self) -> str:
        """Return tables for a terminal: pointing and energy, at most 80 columns wide."""
        lines = [f"{'':<20}{'n':>5}{'blank':>6}  {'pointing':<23}{'energy':<23}".rstrip()]
        for finding, one in self.findings.items():
            lines.append(f"{finding[:20]:<20}{one.n:>5}{one.blank:>6}{_cells(one, MODEL)}")
            lines += [
                f"{f'  {series}':<20}{'':>11}{_cells(one, series)}"
                for series in one.measures
                if series != MODEL
            ]
        made, how = self.origin, self.settings
        lines.append(f"{made.method} of {made.model} at {made.layer}, against {how.regions}")
        if how.bootstrap:
            lines.append(f"{how.level:.0%} intervals from {how.bootstrap} resamples of patients")
        return "\n".join(lines)


def _cells(one: Localised, series: str) -> str:
    cells = (as_text(one.measures[series][name]) for name in ("pointing", "energy"))
    return ("  " + "".join(f"{cell:<23}" for cell in cells)).rstrip()


def summarise(values: Values, draws: Draws, settings: Settings, origin: Origin) -> Localisation:
    """Average what was measured of each map, by finding, over all maps, and over findings.

    Parameters
    ----------
    values
        Of each map.
    draws
        Of as many units as there are patients, numbered by their names.
    settings, origin
        To go with the result.
    """
    units = np.unique(values.patients, return_inverse=True)[1].astype(np.int64)
    names = list(dict.fromkeys(values.targets))
    member = np.array([names.index(target) for target in values.targets])
    own = values.by_series
    spreads = {one: _spread(own[one], member, units, len(names), draws) for one in own}
    # a difference is between maps that both have: the model's, where the baseline has one
    beside = {
        one: _spread(
            np.where(np.isnan(own[one]), np.nan, own[MODEL]), member, units, len(names), draws
        )
        for one in own
        if one != MODEL
    }
    groups = {name: member == at for at, name in enumerate(names)}
    groups[ALL] = np.ones(len(member), dtype=bool)
    if len(names) > 1:
        groups[MEAN] = groups[ALL]
    found: dict[str, Localised] = {}
    for at, (name, there) in enumerate(groups.items()):
        patients = int(np.unique(units[there]).size)
        found[name] = Localised(
            int(there.sum()),
            patients,
            int(values.blank[there].sum()),
            {one: _measures(spreads[one], at, settings.level, patients) for one in spreads},
            {
                one: _measures(
                    beside[one].less(spreads[one]), at, settings.level, patients, tested=True
                )
                for one in beside
            },
        )
    return Localisation(found, values, settings, origin)


@dataclass(frozen=True, eq=False)
class _Spread:
    """Statistics of some groups of maps, (g, s), and of their resamples, (resamples, g, s)."""

    estimate: Floats
    replicates: Floats

    def less(self, other: "_Spread") -> "_Spread":
        return _Spread(self.estimate - other.estimate, self.replicates - other.replicates)


def _spread(
    values: Floats, member: NDArray[np.int64], units: NDArray[np.int64], findings: int, draws: Draws
) -> _Spread:
    """Average (maps, n_measured) in groups: each finding, all maps, the mean of the findings."""
    known = ~np.isnan(values[:, 0])
    columns = values.shape[1]
    rows = np.arange(columns)[None] + columns * member[known][:, None]  # (maps, statistics)
    places = (rows.ravel(), np.repeat(units[known], columns))
    shape = (findings * columns, draws.n_units)
    sums = csr_array((values[known].ravel(), places), shape=shape)
    counts = csr_array((np.ones(int(known.sum())), (member[known], units[known])),
                       shape=(findings, draws.n_units))  # fmt: skip

    def statistics(weights: Floats) -> Floats:
        total = np.asarray(sums @ weights).reshape(findings, columns, -1)
        number = np.asarray(counts @ weights)[:, None]  # (findings, 1, m)
        with np.errstate(invalid="ignore", divide="ignore"):
            each = total / number
            whole = total.sum(axis=0, keepdims=True) / number.sum(axis=0, keepdims=True)
        groups = np.concatenate([each, whole, each.mean(axis=0, keepdims=True)])
        return np.moveaxis(_with_best(groups), 2, 0)  # (m, g, s)

    estimate = statistics(np.ones((draws.n_units, 1)))[0]
    replicates = np.empty((draws.resamples, *estimate.shape))
    chunk = int(np.clip(MEMORY // (3 * 8 * (draws.n_units + estimate.size)), 1, 512))
    for place, weights in draws.counts(chunk):
        replicates[place] = statistics(weights)
    return _Spread(estimate, replicates)


def _with_best(groups: Floats) -> Floats:
    """Add the highest of the overlaps, which stand last, to (g, s, m)."""
    return np.concatenate([groups, groups[:, 3:].max(axis=1, keepdims=True)], axis=1)


def _measures(
    spread: _Spread, group: int, level: float, patients: int, *, tested: bool = False
) -> Measures:
    out: Measures = {}
    for at, name in enumerate((*MEASURED, BEST)):
        estimate, drawn = float(spread.estimate[group, at]), spread.replicates[:, group, at]
        if np.isnan(estimate):
            out[name] = Measure(None, reason="no other patient has a map of this finding")
        elif patients == 1 and len(drawn):
            out[name] = Measure(estimate, reason="no interval: all maps are of one patient")
        else:
            made = percentile(estimate, drawn, level)
            out[name] = Measure(**{**made.__dict__, "p_value": p_value(drawn)}) if tested else made
    return out
