"""How good are the labels that rules read from reports? Against indexers, and against the phantom.

The 3,955 reports of OpenI (Indiana University; Demner-Fushman et al., JAMIA 2016,
doi:10.1093/jamia/ocv080) have MeSH headings that people gave after reading them. The rules were
mended on the reports with odd numbers; those with even numbers are held out. A label of -1 is
neither right nor wrong: the first columns leave such reports out and say how many, the last two
show what F1 is when all of them, on both sides, count as present, and as absent.

The phantom's reports come from its histories, films are not needed. They leave out some of what is
there on purpose: what they tell is one truth, all that is there another.

Prints Markdown tables, and reports per second in one process.

    python benchmarks/report_labels.py FOLDER [--patients 6000] [--seed 11] [--wrong Edema]
"""

import argparse
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from hilum.phantom.history import FINDINGS as PLANTED
from hilum.phantom.history import draw_history
from hilum.phantom.reports import write_report
from hilum.reports import label_report
from hilum.reports.hierarchy import complete
from hilum.sources import openi_findings
from hilum.sources.openi_reports import Report, read_reports

COMPARED: Final = (
    "Atelectasis", "Cardiomegaly", "Consolidation", "Edema", "Emphysema", "Fibrosis", "Fracture",
    "Hernia", "Infiltration", "Lung Lesion", "Lung Opacity", "Mass", "No Finding", "Nodule",
    "Pleural Effusion", "Pleural Thickening", "Pneumonia", "Pneumothorax", "Support Devices",
)  # fmt: skip
HEALTHY: Final = frozenset({
    "normal", "Catheters, Indwelling", "Tube, Inserted", "Implanted Medical Device",
    "Medical Device", "Stents", "Surgical Instruments", "Sutures", "Spinal Fusion", "Mastectomy",
    "Technical Quality of Image Unsatisfactory", "Nipple Shadow", "Breast Implants",
    "Contrast Media", "Lung/hypoinflation",
})  # fmt: skip
"""Headings that are no finding: devices, signs of surgery, and how the film was taken."""

Labels = dict[str, int]


@dataclass(frozen=True)
class Score:
    """True positives, false positives, false negatives, and reports left out as uncertain."""

    tp: int
    fp: int
    fn: int
    unsure: int

    @property
    def precision(self) -> float:
        return self.tp / (self.tp + self.fp) if self.tp + self.fp else float("nan")

    @property
    def recall(self) -> float:
        return self.tp / (self.tp + self.fn) if self.tp + self.fn else float("nan")

    @property
    def f1(self) -> float:
        cases = 2 * self.tp + self.fp + self.fn
        return 2 * self.tp / cases if cases else float("nan")


def score(pairs: Iterable[tuple[int, int | None]], uncertain: int | None = None) -> Score:
    """Compare pairs of truth and label; -1 becomes `uncertain`, or is left out if that is None."""
    counts = {"tp": 0, "fp": 0, "fn": 0, "unsure": 0}
    for pair in pairs:
        if -1 in pair and uncertain is None:
            counts["unsure"] += 1
            continue
        truth, label = (uncertain if value == -1 else value for value in pair)
        if truth == 1 or label == 1:
            counts["tp" if truth == label else "fp" if label == 1 else "fn"] += 1
    return Score(**counts)


def truth_of(report: Report) -> Labels | None:
    """Return what the headings say, with the families of findings; None if it was not indexed."""
    values = dict(zip(openi_findings.FINDINGS, openi_findings.values(report.headings), strict=True))
    known = {name: value for name, value in values.items() if value is not None}
    if not known:
        return None
    healthy = all(_is_healthy(heading) for heading in report.headings)
    return {**complete(known), "No Finding": int(healthy)}


def _is_healthy(heading: str) -> bool:
    parts = [part.strip() for part in heading.split("/")]
    return parts[0] in HEALTHY or "/".join(parts[:2]) in HEALTHY


def text_of(report: Report) -> str:
    return "\n\n".join(filter(None, (report.findings, report.impression)))


def against_openi(root: Path, wrong: str | None) -> None:
    known = [(report, truth_of(report)) for report in read_reports(root) if text_of(report)]
    cases = [(report, truth, label_report(text_of(report))) for report, truth in known if truth]
    odd, even = (
        [case for case in cases if int(case[0].uid.removeprefix("CXR")) % 2 == rest]
        for rest in (1, 0)
    )
    print(f"{len(odd)} reports with odd numbers, {len(even)} with even numbers\n")
    print("| finding | n | P | R | F1 | n | P | R | F1 | left out | F1, -1 is 1 | F1, -1 is 0 |")
    print("|---|" + "---|" * 11)
    for finding in COMPARED:
        cells = [finding]
        for half in (odd, even):
            found = score(_pairs(half, finding))
            cells += [str(found.tp + found.fn)]
            cells += [f"{value:.3f}" for value in (found.precision, found.recall, found.f1)]
        pairs = list(_pairs(even, finding))
        cells += [str(found.unsure), *(f"{score(pairs, value).f1:.3f}" for value in (1, 0))]
        print(f"| {' | '.join(cells)} |")
    if wrong:
        _show(odd, wrong)


def _pairs(cases: Sequence[Any], finding: str) -> Iterable[tuple[int, int | None]]:
    return ((truth.get(finding, 0), labels.get(finding)) for _, truth, labels in cases)


def _show(cases: Sequence[Any], finding: str) -> None:
    """Print what the rules get wrong, to be read; OpenI's reports are public."""
    for report, truth, labels in cases:
        pair = truth.get(finding, 0), labels.get(finding, 0)
        if -1 not in pair and pair[0] != pair[1]:
            print(f"\n{report.uid} headings {pair[0]}, rules {pair[1]}: {report.headings}")
            print(text_of(report))


def against_phantom(patients: int, seed: int) -> None:
    cases = [case for number in range(patients) for case in dictate(seed, number)]
    names = (*PLANTED, "No Finding")
    label_report("")  # build the tree of phrases before the clock starts
    started = time.perf_counter()
    labels = [label_report(text, names) for text, _, _ in cases]
    seconds = time.perf_counter() - started
    print(f"\n{len(cases)} reports of the phantom, {len(cases) / seconds:,.0f} reports/s\n")
    print("| finding | told | P | R | F1 | there | P | R | F1 |")
    print("|---|" + "---|" * 8)
    for finding in names:
        cells = [finding]
        for truths in ([told for _, told, _ in cases], [there for _, _, there in cases]):
            both = zip(truths, labels, strict=True)
            pairs = [(truth[finding], got.get(finding)) for truth, got in both]
            found = score(pairs, 1)  # a doubt that the phantom never has would count as a fault
            cells += [str(found.tp + found.fn)]
            cells += [f"{value:.3f}" for value in (found.precision, found.recall, found.f1)]
        print(f"| {' | '.join(cells)} |")


def dictate(seed: int, number: int) -> Iterable[tuple[str, Labels, Labels]]:
    """Yield the text, what it tells and what is there, of each visit of a phantom's patient."""
    history = draw_history(np.random.default_rng([seed, number, 0]))
    words = np.random.default_rng([seed, number, 2])
    for visit, before in zip(history.visits, (None, *history.visits), strict=False):
        report = write_report(visit, before, history, words)
        there = visit.labels()
        told = {name: value and int(name not in report.omitted) for name, value in there.items()}
        ill = any(told[name] for name in PLANTED if name != "Support Devices")
        yield (
            f"{report.findings}\n\n{report.impression}",
            {**told, "No Finding": int(not ill)},
            there,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, help="the folder of NLMCXR_reports.tgz")
    parser.add_argument("--patients", type=int, default=6000)
    parser.add_argument("--seed", type=int, default=11)
    parser.add_argument("--wrong", help="print the odd reports that are wrong for this finding")
    options = parser.parse_args()
    against_openi(options.data, options.wrong)
    against_phantom(options.patients, options.seed)


if __name__ == "__main__":
    main()
