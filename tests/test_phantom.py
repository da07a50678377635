"""The synthetic hospital: patients, tables, reports and files."""

import json
import re
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import polars as pl
import pydicom
import pytest
from numpy.typing import NDArray

from hilum.errors import UsageError
from hilum.phantom import FINDINGS, NO_FINDING, generate_patient, write_hospital
from hilum.phantom.history import History, Visit, draw_history
from hilum.phantom.lesions import Lesion
from hilum.phantom.reports import _PRESENT, Report, write_report
from hilum.phantom.write import Settings, write_patient

SIZE = 64
COLUMNS = [
    "image_id", "patient_id", "study_id", "visit", "file", "view", "age", "sex",
    *FINDINGS, NO_FINDING, "report_findings", "report_impression",
]  # fmt: skip


def _files(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def _image(path: Path) -> NDArray[Any]:
    return np.asarray(cv2.imread(str(path), cv2.IMREAD_UNCHANGED))


@pytest.fixture(scope="module")
def hospital(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_hospital(tmp_path_factory.mktemp("phantom") / "six", 6, SIZE, seed=3, workers=1)


@pytest.fixture(scope="module")
def histories() -> list[History]:
    return [draw_history(np.random.default_rng([11, n])) for n in range(1500)]


def test_the_same_seed_gives_the_same_patient() -> None:
    one, two = generate_patient(5, 2, SIZE), generate_patient(5, 2, SIZE)
    assert one.history == two.history
    for a, b in zip(one.films, two.films, strict=True):
        assert a.report == b.report
        np.testing.assert_array_equal(a.shade, b.shade)
        np.testing.assert_array_equal(a.mask, b.mask)
    other = generate_patient(6, 2, SIZE)
    assert not np.array_equal(one.films[0].shade, other.films[0].shade)


def test_a_patient_does_not_depend_on_how_many_or_on_workers(
    hospital: Path, tmp_path: Path
) -> None:
    spread = write_hospital(tmp_path / "two", 4, SIZE, seed=3, workers=2)
    few, many = _files(spread), _files(hospital)
    images = [name for name in few if name.endswith(".png")]
    assert images
    assert all(few[name] == many[name] for name in images)
    rows = pl.read_csv(spread / "table.csv")
    assert rows.equals(pl.read_csv(hospital / "table.csv").head(len(rows)))


def test_another_size_shows_the_same_patient() -> None:
    small, large = generate_patient(1, 4, 64), generate_patient(1, 4, 192)
    assert small.history == large.history
    a = small.films[0].pixels.astype(float)
    b = cv2.resize(large.films[0].pixels, (64, 64), interpolation=cv2.INTER_AREA).astype(float)
    assert np.corrcoef(a.ravel(), b.ravel())[0, 1] > 0.97


def test_the_table_has_the_columns_of_the_folder_layout(hospital: Path) -> None:
    table = pl.read_csv(hospital / "table.csv")
    assert table.columns == COLUMNS
    assert table["image_id"].is_unique().all()
    assert set(table["view"]) <= {"PA", "AP"}
    assert set(table["sex"]) <= {"M", "F"}
    assert table["age"].is_between(18, 105).all()
    for finding in (*FINDINGS, NO_FINDING):
        assert set(table[finding]) <= {0, 1}
    first = table.row(0, named=True)
    assert first["image_id"] == f"p00000-v1-{first['view'].lower()}"
    assert first["study_id"] == "p00000-v1"
    for _, rows in table.group_by("patient_id"):
        assert rows["visit"].to_list() == list(range(len(rows)))
        assert rows["age"].is_sorted()


def test_no_finding_means_none_of_the_others_but_devices(hospital: Path) -> None:
    table = pl.read_csv(hospital / "table.csv")
    others = [finding for finding in FINDINGS if finding != "Support Devices"]
    anything = table.select(pl.max_horizontal(others)).to_series()
    assert (table[NO_FINDING] == 1 - anything).all()


def test_devices_alone_are_no_finding() -> None:
    devices = Lesion("Support Devices", 0.5, "left", "pacemaker", 1)
    alone = Visit(date(2015, 1, 1), "PA", (devices,)).labels()
    with_edema = Visit(date(2015, 1, 1), "PA", (devices, Lesion("Edema", 0.5))).labels()
    assert (alone["Support Devices"], alone[NO_FINDING]) == (1, 1)
    assert (with_edema["Support Devices"], with_edema[NO_FINDING]) == (1, 0)


def test_images_masks_and_boxes_belong_together(hospital: Path) -> None:
    table = pl.read_csv(hospital / "table.csv")
    boxes = pl.read_csv(hospital / "boxes.csv")
    order = json.loads((hospital / "phantom.json").read_text())["findings"]
    assert boxes.columns == ["image_id", "finding", "x", "y", "w", "h"]
    assert order == list(FINDINGS)
    for row in table.iter_rows(named=True):
        image = _image(hospital / row["file"])
        assert image.shape == (SIZE, SIZE)
        assert image.dtype == np.uint8
        assert image.std() > 20
        path = hospital / "masks" / f"{row['image_id']}.png"
        bits = 0
        if path.exists():
            mask = _image(path)
            assert mask.dtype == np.uint16
            bits = int(np.bitwise_or.reduce(mask, axis=None))
        present = [finding for k, finding in enumerate(order) if bits >> k & 1]
        assert all(row[finding] for finding in present)
        boxed = boxes.filter(pl.col("image_id") == row["image_id"])["finding"]
        assert set(boxed) <= set(present)
    assert len(boxes)
    assert (boxes["x"] + boxes["w"] <= SIZE).all()


def test_prevalence_is_like_a_hospital(histories: list[History]) -> None:
    labels = [visit.labels() for history in histories for visit in history.visits]
    share = {name: np.mean([row[name] for row in labels]) for name in (*FINDINGS, NO_FINDING)}
    assert all(0.05 < share[finding] < 0.3 for finding in FINDINGS)
    assert 0.35 < share[NO_FINDING] < 0.55
    assert 1.8 < len(labels) / len(histories) < 2.2


def test_findings_go_together_and_with_age_and_view(histories: list[History]) -> None:
    visits = [(history, visit) for history in histories for visit in history.visits]
    label = {f: np.array([v.labels()[f] for _, v in visits]) for f in (*FINDINGS, NO_FINDING)}
    age = np.array([history.age for history, _ in visits])
    bedside = np.array([visit.view == "AP" for _, visit in visits])
    heart = label["Cardiomegaly"] == 1
    assert label["Edema"][heart].mean() > 3 * label["Edema"][~heart].mean()
    assert age[heart].mean() > age[label[NO_FINDING] == 1].mean() + 8
    assert bedside[label["Edema"] == 1].mean() > bedside[label[NO_FINDING] == 1].mean() + 0.2


def test_findings_appear_persist_and_clear(histories: list[History]) -> None:
    pairs = [
        (before.labels()[f], after.labels()[f])
        for history in histories
        for before, after in zip(history.visits, history.visits[1:], strict=False)
        for f in FINDINGS
    ]
    counts = {pair: pairs.count(pair) for pair in ((0, 1), (1, 1), (1, 0))}
    assert min(counts.values()) > 50
    for history in histories:
        days = [visit.day for visit in history.visits]
        assert days == sorted(set(days))


def _reports(histories: list[History]) -> list[tuple[dict[str, int], Report]]:
    rng = np.random.default_rng(0)
    out = []
    for history in histories[:500]:
        previous = None
        for visit in history.visits:
            out.append((visit.labels(), write_report(visit, previous, history, rng)))
            previous = visit
    return out


TERMS = {finding: finding.lower() for finding in FINDINGS} | {
    "Support Devices": r"catheter|tube\b|pacemaker|picc|wires",
    "Mass": r"\bmass\b",
    "Cardiomegaly": "cardiomegaly|enlarged",
}
NEGATION = re.compile(r"\b(no|not|clear|normal|resolved)\b", re.IGNORECASE)


def test_reports_never_state_what_is_absent(histories: list[History]) -> None:
    for labels, report in _reports(histories):
        text = f"{report.findings} {report.impression}".lower()
        for sentence in re.split(r"(?<=[a-z])\.", text):
            for finding, term in TERMS.items():
                if re.search(term, sentence) and not labels[finding]:
                    assert NEGATION.search(sentence), (finding, sentence)


def test_reports_state_most_of_what_is_there_and_omit_some(histories: list[History]) -> None:
    told = omitted = 0
    for labels, report in _reports(histories):
        for finding in (f for f in FINDINGS if labels[f]):
            told += finding not in report.omitted
            omitted += finding in report.omitted
            mentioned = re.search(TERMS[finding], report.findings.lower())
            assert (finding in report.omitted) == (mentioned is None), (finding, report)
    assert 0.05 < omitted / (told + omitted) < 0.2


def test_wording_varies(histories: list[History]) -> None:
    reports = [report.findings for _, report in _reports(histories)]
    assert len(set(reports)) > 0.9 * len(reports)
    assert all(len(wordings) >= 3 for wordings in _PRESENT.values())


def test_a_killed_run_goes_on(hospital: Path, tmp_path: Path) -> None:
    out = tmp_path / "killed"
    write_hospital(out, 6, SIZE, seed=3, workers=1)
    whole = _files(out)
    for name in ("table.csv", "boxes.csv"):  # as if killed: no tables, two patients done
        (out / name).unlink()
    for path in (*out.glob("images/p0000[2-5]*"), *out.glob("masks/p0000[2-5]*")):
        path.unlink()
    (out / "parts").mkdir()
    for number in (0, 1):
        write_patient(out, Settings(3, 6, SIZE, False), number)
    stamps = {path: path.stat().st_mtime_ns for path in out.glob("images/p0000[01]*")}
    calls: list[tuple[int, int]] = []

    def count(done: int, total: int, note: str = "") -> None:
        calls.append((done, total))

    write_hospital(out, 6, SIZE, seed=3, workers=1, progress=count)
    assert _files(out) == whole == _files(hospital)
    assert calls == [(n, 6) for n in range(2, 7)]
    assert all(path.stat().st_mtime_ns == stamp for path, stamp in stamps.items())
    assert not (out / "parts").exists()


def test_a_folder_with_other_settings_is_refused(hospital: Path) -> None:
    with pytest.raises(UsageError, match=r"holds a phantom with seed 3, asked for 4; choose"):
        write_hospital(hospital, 6, SIZE, seed=4)
    with pytest.raises(UsageError, match=r"with patients 6, asked for 7"):
        write_hospital(hospital, 7, SIZE, seed=3)


def test_a_folder_of_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(UsageError, match="is not empty and holds no phantom"):
        write_hospital(tmp_path, 2, SIZE)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_numbers_out_of_range_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="size must be from 16 to 512 pixels, got 8"):
        generate_patient(0, 0, 8)
    with pytest.raises(UsageError, match="must not be negative, got -1 and 0"):
        generate_patient(-1, 0, SIZE)
    with pytest.raises(UsageError, match="at least 1 patient, got 0"):
        write_hospital(tmp_path / "none", 0)
    with pytest.raises(UsageError, match="workers must be at least 1, got 0"):
        write_hospital(tmp_path / "none", 1, workers=0)
    assert not (tmp_path / "none").exists()


@pytest.fixture
def strict() -> Iterator[None]:
    from pydicom import config

    before = config.settings.reading_validation_mode, config.settings.writing_validation_mode
    config.settings.reading_validation_mode = config.RAISE
    config.settings.writing_validation_mode = config.RAISE
    yield
    config.settings.reading_validation_mode, config.settings.writing_validation_mode = before


@pytest.mark.usefixtures("strict")
def test_dicom_files_are_strictly_valid_and_show_the_same_films(
    hospital: Path, tmp_path: Path
) -> None:
    from pydicom.pixels.processing import apply_voi_lut

    out = write_hospital(tmp_path / "dicom", 6, SIZE, seed=3, workers=1, dicom=True)
    table = pl.read_csv(out / "table.csv")
    kinds, dates = set(), []
    for row in table.iter_rows(named=True):
        data = pydicom.dcmread(out / row["file"])
        for element in data.iterall():
            assert element.value is not None or element.VM == 0
        assert data.PatientID == row["patient_id"]
        assert data.ViewPosition == row["view"]
        assert data.PatientSex == row["sex"]
        assert data.PatientAge == f"{int(row['age']):03d}Y"
        assert data.BitsStored == 12
        assert data.Modality == ("CR" if row["view"] == "AP" else "DX")
        kinds.add(data.PhotometricInterpretation)
        dates.append((row["patient_id"], row["visit"], data.StudyDate))
        shown = apply_voi_lut(data.pixel_array, data).astype(float)
        shown = np.round(shown / 4095 * 255)
        if data.PhotometricInterpretation == "MONOCHROME1":
            shown = 255 - shown
        png = _image(hospital / "images" / f"{row['image_id']}.png")
        assert np.abs(shown - png).max() <= 1
    assert kinds == {"MONOCHROME1", "MONOCHROME2"}
    assert dates == sorted(dates)


def test_dicom_uids_follow_from_the_seed(tmp_path: Path) -> None:
    from hilum.phantom.dicom_file import encode, uid

    assert uid(1, "a") == uid(1, "a") != uid(2, "a")
    assert len(uid(1, "a")) <= 64
    patient = generate_patient(0, 0, 32)
    assert encode(patient, patient.films[0], 0) == encode(patient, patient.films[0], 0)


def test_the_command_says_what_it_made(tmp_path: Path) -> None:
    import typer
    from typer.testing import CliRunner

    from hilum.cli.phantom import register

    app = typer.Typer()
    register(app)
    arguments = [str(tmp_path / "cli"), "--patients", "1", "--size", "32", "--workers", "1"]
    result = CliRunner().invoke(app, [*arguments, "--json"])
    assert result.exit_code == 0
    assert json.loads(result.stdout)["patients"] == 1
    again = CliRunner().invoke(app, arguments)
    assert re.search(r"\d+ images of 1 patients in ", again.stdout)
