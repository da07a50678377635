"""A model or a radiologist after resampling, and arithmetic on them.

Raters of one evaluation were measured on the same patients in the same resamples. So the
difference of two raters is a rater, and so is the mean of several.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from hilum.evaluate.draws import Draws, influence, replicate
from hilum.evaluate.plan import Plan
from hilum.evaluate.sample import Sample
from hilum.evaluate.spread import Spread, average

_CHEXZERO_FILLS: Final = {"f1": 1.0, "mcc": 0.0}


@dataclass(frozen=True, eq=False)
class Rater:
    """What was measured of one rater, and how it spreads.

    Parameters
    ----------
    sample
        Counts and reasons.
    drawn
        By statistic, the estimates with their spread.
    areas
        What the AUROCs are made of, for their variance without resampling: pairs of a rater's
        sample and a factor, such as 1 for the first and -1 for the second of a difference.
    tested
        Whether the estimates are differences, to be tested against zero.
    """

    sample: Sample
    drawn: Mapping[str, Spread]
    areas: tuple[tuple[Sample, float], ...] = ()
    tested: bool = False

    def select(self, findings: Sequence[str]) -> "Rater":
        """Return these findings, in this order."""
        at = [self.sample.findings.index(name) for name in findings]
        return replace(
            self,
            sample=self.sample.select(findings),
            drawn={name: spread.take(at) for name, spread in self.drawn.items()},
            areas=tuple((sample.select(findings), factor) for sample, factor in self.areas),
        )

    def why_no_spread(self, statistic: str, columns: Sequence[int]) -> str | None:
        """Say why the units cannot show how the mean over these findings spreads, or None."""
        if self.sample.units.count == 1:
            return "no interval: there is one unit only"
        whys = [self.sample.reasons[statistic][at] for at in columns]
        reasons = sorted({why for why in whys if why})  # whatever the order of the findings
        return reasons[0] if reasons and all(whys) else None

    def __sub__(self, other: "Rater") -> "Rater":
        shared = [name for name in self.drawn if name in other.drawn]
        return Rater(
            _with_all_reasons((self, other), shared),
            {name: self.drawn[name] - other.drawn[name] for name in shared},
            (*self.areas, *((sample, -factor) for sample, factor in other.areas)),
            tested=True,
        )


def mean_rater(raters: Sequence[Rater]) -> Rater:
    """Average raters of the same findings; undefined where one of them is.

    Its images are those that any of them has.
    """
    shared = [name for name in raters[0].drawn if all(name in rater.drawn for rater in raters)]
    labels = np.fmax.reduce([rater.sample.labels for rater in raters])
    sample = replace(
        _with_all_reasons(raters, shared),
        n=(~np.isnan(labels)).sum(axis=0).tolist(),
        positives=(labels == 1).sum(axis=0).tolist(),
        labels=labels,
    )
    return Rater(
        sample,
        {name: average([rater.drawn[name] for rater in raters]) for name in shared},
        tuple((sample, factor / len(raters)) for rater in raters for sample, factor in rater.areas),
        tested=raters[0].tested,
    )


def _with_all_reasons(raters: Sequence[Rater], statistics: Sequence[str]) -> Sample:
    """Return the first rater's sample, with a reason wherever one of them has a gap."""
    first = raters[0].sample
    places = range(len(first.findings))
    reasons = {name: [_reason(raters, name, at) for at in places] for name in statistics}
    return replace(first, reasons=reasons)


def _reason(raters: Sequence[Rater], statistic: str, at: int) -> str | None:
    """Return why one of the raters has no estimate, or else no interval; None if all have both."""
    undefined = [rater for rater in raters if not rater.drawn[statistic].defined[at]]
    whys = [rater.sample.reasons[statistic][at] for rater in (*undefined, *raters)]
    return next((why for why in whys if why), None)


def resampled(
    samples: Sequence[Sample], plan: Plan, *, with_influence: bool = False
) -> list[Rater]:
    """Resample several raters of the same images together.

    Parameters
    ----------
    samples, plan
        Of the same units; which resamples.
    with_influence
        Compute influence values even where the intervals have no use for them.
    """
    units = samples[0].units
    draws = Draws(units.count, plan.bootstrap, plan.seed, units.strata, plan.interval == "chexzero")
    every = [made for sample in samples for made in sample.instruments]
    names = list(dict.fromkeys(name for sample in samples for name in sample.estimates))
    replicates = replicate(every, draws, names)
    if plan.interval == "chexzero":
        for name, value in _CHEXZERO_FILLS.items():  # as its code does where they are undefined
            if name in replicates:
                replicates[name] = np.nan_to_num(replicates[name], nan=value)
    wanted = with_influence or plan.interval == "bca"
    influences = influence(every, units.count, names) if wanted else None
    out, start = [], 0
    for sample in samples:
        own = slice(start, start + len(sample.findings))
        start = own.stop
        drawn = {
            name: Spread(
                values,
                replicates[name][:, own],
                None if influences is None else influences[name][:, own],
            )
            for name, values in sample.estimates.items()
        }
        out.append(Rater(sample, drawn, ((sample, 1.0),)))
    return out
