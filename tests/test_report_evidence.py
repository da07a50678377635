"""How good the reading of reports is, on real ones and on the phantom's, so that it stays so."""

import importlib.util
import sys
from collections import Counter
from pathlib import Path
from types import ModuleType

import pytest

from hilum.reports import impression, label_report, sections
from hilum.sources.openi_reports import Report, read_reports

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def benchmark() -> ModuleType:
    path = ROOT / "benchmarks" / "report_labels.py"
    spec = importlib.util.spec_from_file_location("benchmark_of_report_labels", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # its dataclasses ask for it
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def reports(data_dir: Path) -> list[Report]:
    return read_reports(data_dir / "openi-reports")


def test_the_sections_of_the_real_reports_are_all_found(reports: list[Report]) -> None:
    origins: Counter[str | None] = Counter()
    empty: Counter[tuple[bool, bool]] = Counter()
    others = []
    for report in reports:
        text = f"FINDINGS: {report.findings or ''}\nIMPRESSION:{report.impression or ''}"
        found = sections(text)
        if list(found.values()) != [report.findings or "", report.impression or ""]:
            others.append(report.uid)
        empty[not found["FINDINGS"], not found["IMPRESSION"]] += 1
        origins[impression(text).origin] += 1
    assert len(reports) == 3955
    assert others == ["CXR2415"]  # its impression goes on with a second whole report
    assert empty[True, False] + empty[True, True] == 530
    assert empty[False, True] + empty[True, True] == 34
    assert (empty[True, True], empty[False, False]) == (28, 3419)
    assert origins == {"impression": 3955 - 34, "findings": 34 - 28, None: 28}


AT_LEAST = {
    "Atelectasis": 0.95, "Cardiomegaly": 0.98, "Consolidation": 0.9, "Edema": 0.9,
    "Emphysema": 0.95, "Fracture": 0.9, "Hernia": 0.95, "Infiltration": 0.95,
    "Lung Opacity": 0.9, "No Finding": 0.94, "Pleural Effusion": 0.98, "Pneumothorax": 0.9,
}  # fmt: skip


def test_labels_agree_with_the_indexers_on_the_reports_that_no_rule_was_made_on(
    reports: list[Report], benchmark: ModuleType
) -> None:
    """F1 where both sides are sure; benchmarks/report_labels.py prints all of it."""
    held_out = [r for r in reports if int(r.uid.removeprefix("CXR")) % 2 == 0]
    pairs: dict[str, list[tuple[int, int | None]]] = {finding: [] for finding in AT_LEAST}
    for report in held_out:
        truth = benchmark.truth_of(report)
        text = benchmark.text_of(report)
        if truth and text:
            labels = label_report(text)
            for finding, both in pairs.items():
                both.append((truth.get(finding, 0), labels.get(finding)))
    assert len(pairs["Edema"]) == 1908
    reached = {finding: benchmark.score(both).f1 for finding, both in pairs.items()}
    assert {f: round(v, 3) for f, v in reached.items() if v < AT_LEAST[f]} == {}


def test_what_the_phantom_s_reports_tell_is_read(benchmark: ModuleType) -> None:
    names = (*benchmark.PLANTED, "No Finding")
    pairs: dict[str, list[tuple[int, int | None]]] = {finding: [] for finding in names}
    for number in range(400):
        for text, told, there in benchmark.dictate(3, number):
            assert set(there) == set(names)
            labels = label_report(text, names)
            for finding, both in pairs.items():
                both.append((told[finding], labels.get(finding)))
    assert len(pairs["Mass"]) > 700
    assert all(benchmark.score(both, 1).f1 >= 0.95 for both in pairs.values())


def test_a_score_counts_what_it_says(benchmark: ModuleType) -> None:
    pairs = [(1, 1), (1, None), (0, 1), (0, None), (1, -1), (-1, 1), (0, -1), (0, 0)]
    sure = benchmark.score(pairs)
    assert (sure.tp, sure.fp, sure.fn, sure.unsure) == (1, 1, 1, 3)
    assert (sure.precision, sure.recall, sure.f1) == (0.5, 0.5, 0.5)
    assert benchmark.score(pairs, 1) == benchmark.Score(3, 2, 1, 0)
    assert benchmark.score(pairs, 0) == benchmark.Score(1, 2, 2, 0)
