"""What an appraisal says in words."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from hilum.appraisal.record import Appraisal
from hilum.evaluate.intervals import Measure
from hilum.evaluate.orh import ReaderStudy
from hilum.evaluate.panel import Panel
from hilum.evaluate.scorecard import Scorecard
from hilum.evaluate.studies import MEAN
from hilum.evaluate.text import (
    TITLES,
    p_text,
    panel_remarks,
    panel_statistics,
    study_measure,
)

_SHORT: Final = 14  # letters
_CAPITAL: Final = ("AUROC", "F1", "MCC", "PPV", "NPV", "Brier score")
_VOWELS: Final = ("auroc", "average_precision", "f1", "mcc", "npv")  # begin as they are spoken


def lead(appraisal: Appraisal) -> str:
    """Return the answer in one paragraph."""
    metrics = appraisal.metrics
    said = [_reached(appraisal)]
    if metrics.panel is not None and metrics.panel.difference is not None:
        said.append(_beside_readers(metrics.panel))
    if appraisal.comparison is not None:
        said.append(_against(appraisal))
    return unbroken(" ".join(said))


def unbroken(text: str) -> str:
    """Keep the parts of a number on one line."""
    for loose in (" = ", " < ", " %"):
        text = text.replace(loose, loose.replace(" ", "\N{NO-BREAK SPACE}"))
    return text


def _reached(appraisal: Appraisal) -> str:
    metrics, name = appraisal.metrics, appraisal.names[0]
    where = counted(metrics.settings)
    statistic = first_defined(metrics.n_in_mean)
    if statistic is None:
        return f"Nothing can be measured of {name} on {where}."
    number = in_a_sentence(metrics.mean[statistic], metrics.settings["level"])
    return (
        f"{_subject(name)} reaches {_one(statistic, metrics.n_in_mean[statistic])} of {number} on "
        f"{where}: {_range(metrics, statistic)}."
    )


def _subject(name: str) -> str:
    """Begin a sentence with a model's name; a file's name keeps its small letters."""
    return f"T{name[1:]}" if name.startswith("the ") else name


def _one(statistic: str, findings: int) -> str:
    """Name a mean with its article; that of one finding is none."""
    if findings > 1:
        return f"a mean {word(statistic)}"
    return f"{'an' if statistic in _VOWELS else 'a'} {word(statistic)}"


def _range(card: Scorecard, statistic: str) -> str:
    """Say over which findings a mean is taken, and which is lowest and which highest."""
    found = {name: f.measures[statistic].estimate for name, f in card.findings.items()}
    known = {name: value for name, value in found.items() if value is not None}
    if len(known) == 1:
        return f"one finding, {next(iter(known))}"
    low, high = min(known, key=known.__getitem__), max(known, key=known.__getitem__)
    return f"{len(known)} findings, from {known[low]:.3f} ({low}) to {known[high]:.3f} ({high})"


def counted(settings: Mapping[str, Any]) -> str:
    """Say how many images there are, and patients where they are known."""
    images = f"{settings['images']:,} images"
    if settings["resampled"] == "patient_id":
        return f"{images} of {settings['units']:,} patients"
    return images


def first_defined(counts: Mapping[str, int]) -> str | None:
    """Return the first statistic that is defined for any finding."""
    return next((statistic for statistic, findings in counts.items() if findings), None)


def word(statistic: str) -> str:
    """Return a statistic's name inside a sentence."""
    title = TITLES[statistic]
    return title if title in _CAPITAL else f"{title[0].lower()}{title[1:]}"


def short(name: str) -> str:
    """Cut a model's name to what fits beside an axis and above a column."""
    return name if len(name) <= _SHORT else f"{name[: _SHORT - 1]}…"


def percent(level: float) -> str:
    """Write a level as ``95 %``."""
    return f"{100 * level:g} %"


def in_a_sentence(measure: Measure, level: float) -> str:
    """Write ``0.838 (95 % interval 0.812 to 0.861)``."""
    if measure.estimate is None:
        return "an undefined value"
    if measure.low is None or measure.high is None:
        return f"{measure.estimate:.3f}"
    return (
        f"{measure.estimate:.3f} ({percent(level)} interval {measure.low:.3f} to "
        f"{measure.high:.3f})"
    )


def difference(gap: Measure) -> str:
    """Write ``+0.100 (+0.061 to +0.142, p = 0.002)``."""
    if gap.estimate is None:
        return f"undefined ({gap.reason})"
    inner = [] if gap.low is None or gap.high is None else [f"{gap.low:+.3f} to {gap.high:+.3f}"]
    if p := p_text(gap):
        inner.append(f"p {p[0]} {p[1:]}" if p.startswith("<") else f"p = {p}")
    return f"{gap.estimate:+.3f}" + (f" ({', '.join(inner)})" if inner else "")


def _beside_readers(panel: Panel) -> str:
    assert panel.difference is not None
    statistic = panel_statistics(panel)[-1]
    gap = difference(panel.difference.mean[statistic])
    return (
        f"At its thresholds, the model minus {the_readers(panel)} is {gap} in mean "
        f"{word(statistic)}."
    )


def the_readers(panel: Panel) -> str:
    """Name a panel in a sentence."""
    n = len(panel.readers)
    return f"the reader {next(iter(panel.readers))}" if n == 1 else f"the mean of {n} readers"


def _against(appraisal: Appraisal) -> str:
    assert appraisal.comparison is not None
    gaps, (first, second) = appraisal.comparison.difference, appraisal.names
    statistic = first_defined(gaps.n_in_mean)
    if statistic is None:
        return f"It cannot be compared with {second}."
    gap = difference(gaps.mean[statistic])
    return f"{_subject(first)} minus {second} is {gap} in mean {word(statistic)}."


def on_readers(panel: Panel) -> Iterator[str]:
    """Say what the readers' numbers mean: agreement, margin, and what other readers would do."""
    yield from panel_remarks(panel)
    studies = panel.studies.get(MEAN, {})
    statistic = panel_statistics(panel)[-1]
    if statistic in studies:
        yield _on_other_readers(studies[statistic], statistic)


def _on_other_readers(study: ReaderStudy, statistic: str) -> str:
    rough = " Two readers are too few to rely on this." if study.n_readers == 2 else ""
    gap = difference(study_measure(study))
    return (
        "The resamples speak of these readers. For other readers like them, who read other "
        f"patients like these, the model minus their mean is {gap} in mean {word(statistic)} "
        f"(analysis of Obuchowski, Rockette and Hillis).{rough}"
    )
