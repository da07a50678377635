"""The data sets with reports, through the real commands: ingest, show, export, and back."""

import csv
import io
import json
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import polars as pl
import pytest
from numpy.typing import NDArray

from hilum.cli import main
from hilum.collection import open_collection
from trees_reports import (
    MIMIC_REPORTS,
    OPENI_REPORTS,
    PADCHEST_ROWS,
    archive,
    mimic,
    openi,
    padchest,
)
from trees_sources import write

SIZE = ("--size", "16", "--workers", "1")


def film(seed: int, dtype: type[np.generic] = np.uint8, brightest: int = 255) -> NDArray[Any]:
    """Return a film of noise, (9, 8), whose brightest pixel is `brightest`."""
    noise = np.random.default_rng(seed).integers(0, brightest, (9, 8)).astype(dtype)
    noise[0, 0] = brightest
    return noise


def encoded(suffix: str, image: NDArray[Any]) -> bytes:
    done, body = cv2.imencode(suffix, image)
    assert done
    return body.tobytes()


def jpeg(name: str) -> bytes:
    return encoded(".jpg", film(len(name)))


def png_of_12_bits(name: str) -> bytes:
    return encoded(".png", film(sum(name.encode()), np.uint16, 4095))


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> "Run":
    return Run(capsys, monkeypatch)


class Run:
    """Run a command in this process; return exit status, output and errors."""

    def __init__(self, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
        self._capsys, self._monkeypatch = capsys, monkeypatch

    def __call__(self, *words: object) -> tuple[int, str, str]:
        self._monkeypatch.setattr(sys, "argv", ["hilum", *map(str, words)])
        with pytest.raises(SystemExit) as stop:
            main()
        out, err = self._capsys.readouterr()
        return int(stop.value.code or 0), out, err


# --------------------------------------------------------------------------- MIMIC-CXR-JPG


def test_mimic_comes_in_with_reports_of_another_folder(tmp_path: Path, run: Run) -> None:
    source, uri = mimic(tmp_path / "jpg", jpeg), tmp_path / "c"
    write(tmp_path / "cxr/files", MIMIC_REPORTS)
    for name in MIMIC_REPORTS:
        (source / "files" / name).unlink()
    words = ("ingest", source, uri, "--layout", "mimic", *SIZE)
    status, out, err = run(*words, "--reports", tmp_path / "cxr", "--json")
    assert status == 0, err
    assert json.loads(out)["added"] == 4
    assert "jpg: 1 studies have no report" in err
    frame = open_collection(uri).table()
    assert frame["report_impression"].to_list() == [
        *["No acute cardiopulmonary process."] * 2, None, None,
    ]  # fmt: skip
    assert frame["split"].to_list() == ["train", "train", "train", "val"]
    status, out, _ = run("show", uri, "--json")
    summary = json.loads(out)
    assert (summary["images"], summary["patients"], summary["studies"]) == (4, 2, 3)
    assert summary["reports"] == 3
    assert summary["views"] == {"AP": 1, "LATERAL": 1, "PA": 1, "unknown": 1}
    assert summary["findings"]["Edema"]["all"]["uncertain"] == 1
    assert summary["visits"]["images_with_earlier_visit"] == 2
    assert summary["sources"][0]["options"] == {"reports": str(tmp_path / "cxr")}
    status, out, _ = run(*words, "--reports", tmp_path / "cxr", "--json")
    assert (status, json.loads(out)["added"]) == (0, 0)


def test_no_text_of_a_report_is_printed(tmp_path: Path, run: Run) -> None:
    for layout, make in (("mimic", mimic), ("openi", openi), ("padchest", padchest)):
        source = make(tmp_path / layout)
        status, out, err = run(
            "ingest", source, tmp_path / f"{layout}.lance", "--layout", layout, "--no-pixels"
        )
        assert status == 0, err
        _, shown, more = run("show", tmp_path / f"{layout}.lance")
        for word in ("acute", "clear", "left base", "enlarged", "hallazg"):
            assert word not in out + err + shown + more, (layout, word)


def test_mimic_goes_out_as_chexzeros_files_and_comes_back(tmp_path: Path, run: Run) -> None:
    source, uri, out = mimic(tmp_path / "jpg", jpeg), tmp_path / "c", tmp_path / "chexzero"
    run("ingest", source, uri, "--layout", "mimic", *SIZE)
    assert run("export", uri, out, "--to", "chexzero")[0] == 0
    with (out / "impressions.csv").open(newline="") as file:
        rows = list(csv.reader(file))
    assert rows == [
        ["filename", "impression"],
        *[["s50414267.txt", "No acute cardiopulmonary process."]] * 2,
        ["s53189527.txt", "NO IMPRESSION"],
        ["s57375967.txt", "NO IMPRESSION"],
    ]
    frame = open_collection(uri).table()
    # As CheXzero itself would have written it: paths, and no table of ours.
    (out / "table.csv").unlink()
    ids = frame.select("patient_id", "study_id", "image_id").iter_rows()
    paths = [f"/data/files/{p[:3]}/{p}/{s}/{image}.jpg" for p, s, image in ids]
    pl.DataFrame({"Path": paths}).write_csv(out / "cxr_paths.csv")
    status, _, err = run("ingest", out, tmp_path / "back", "--layout", "chexzero")
    assert status == 0, err
    kept = ["image_id", "patient_id", "study_id", "report_impression"]
    back = open_collection(tmp_path / "back")
    assert back.table(kept).equals(frame.select(kept))
    np.testing.assert_array_equal(back.pixels(), open_collection(uri).pixels())


# --------------------------------------------------------------------------- PadChest


def test_padchests_broken_and_missing_files_are_quarantined(tmp_path: Path, run: Run) -> None:
    source, uri = padchest(tmp_path / "pc", png_of_12_bits), tmp_path / "c"
    broken = source / "0/100_b1.png"
    broken.write_bytes(broken.read_bytes()[:60])
    (source / "54/200_a1.png").unlink()
    status, out, err = run("ingest", source, uri, "--layout", "padchest", *SIZE)
    assert status == 3
    assert "2 images added" in out
    assert "2 files are in quarantine" in err
    _, out, _ = run("show", uri, "--quarantine")
    reasons = {row["image_id"]: row["reason"] for row in csv.DictReader(io.StringIO(out))}
    assert reasons == {"100_b1.png": "truncated", "200_a1.png": "missing"}
    collection = open_collection(uri)
    assert collection.ids() == ("100_a1.png", "300_a1.png")
    # 12 bits in 16: the brightest sample is white, and not a sixteenth of it.
    bright = collection.pixels().reshape(2, -1).max(axis=1)
    assert bright.min() > 100
    assert collection.table()["visit"].to_list() == [1, 0]  # the broken film was an earlier visit
    name = "200_a1.png"
    broken.write_bytes(png_of_12_bits("x"))
    write(source, {f"54/{name}": png_of_12_bits(name)})
    status, out, _ = run("ingest", source, uri, "--layout", "padchest", *SIZE)
    assert status == 0
    assert "2 images added, 2 there before" in out


def test_padchests_labels_and_methods_are_chosen_by_option(tmp_path: Path, run: Run) -> None:
    source, uri = padchest(tmp_path / "pc", png_of_12_bits), tmp_path / "c"
    words = ("ingest", source, uri, "--layout", "padchest", *SIZE)
    status, _, err = run(*words, "--method", "Physician", "--findings", "all")
    assert status == 0, err
    collection = open_collection(uri)
    assert len(collection) == len(PADCHEST_ROWS) - 1
    assert collection.findings[-2:] == ("copd signs", "unchanged")
    assert collection.sources[0].options == {"method": "Physician", "findings": ["all"]}
    status, out, err = run("ingest", source, tmp_path / "d", "--layout", "padchest",
                           "--findings", "pneumony")  # fmt: skip
    assert (status, out) == (2, "")
    assert "do you mean 'Pneumonia'?" in err
    status, out, err = run("ingest", source, tmp_path / "d", "--layout", "nih", "--method", "x")
    assert (status, out) == (2, "")
    assert "the nih layout has no option 'method'" in err


# --------------------------------------------------------------------------- OpenI


def test_openi_comes_in_from_the_archive_alone(tmp_path: Path, run: Run) -> None:
    source = write(tmp_path / "oi", {"NLMCXR_reports.tgz": archive(OPENI_REPORTS)})
    words = ("ingest", source, tmp_path / "c", "--layout", "openi")
    status, out, err = run(*words)
    assert (status, out) == (1, "")
    assert "4 of 4 image files are missing" in err
    status, _, err = run(*words, "--no-pixels")
    assert status == 0
    assert "oi: 1 reports name no image and are left out" in err
    frame = open_collection(tmp_path / "c").table()
    assert frame["study_id"].to_list() == ["CXR1", "CXR1", "CXR12", "CXR12"]
    assert frame["report_impression"].to_list() == ["Normal chest x-XXXX."] * 2 + [None] * 2
    assert frame["Cardiomegaly"].to_list() == [0, 0, -1, -1]


def test_openi_comes_in_with_a_renamed_copy_of_its_images(tmp_path: Path, run: Run) -> None:
    source = openi(tmp_path / "oi", lambda name: encoded(".png", film(len(name))))
    (source / "NLMCXR_png/12_IM-0050-1001.dcm.png").unlink()
    words = ("ingest", source, tmp_path / "c", "--layout", "openi", *SIZE)
    status, out, err = run(*words, "--views", "PA,LATERAL,AP")
    assert status == 3
    assert "2 images added" in out
    assert "quarantine (missing 1)" in err
    _, out, _ = run("show", tmp_path / "c", "--json")
    assert json.loads(out)["views"] == {"LATERAL": 1, "PA": 1}


def test_the_real_reports_come_in(tmp_path: Path, data_dir: Path, run: Run) -> None:
    words = ("ingest", data_dir / "openi-reports", tmp_path / "c", "--layout", "openi")
    status, out, err = run(*words, "--no-pixels", "--json")
    assert status == 0, err
    assert json.loads(out)["added"] == 7470
    collection = open_collection(tmp_path / "c")
    studies = collection.table().unique("study_id")
    assert studies.height == 3851
    assert (studies["No Finding"] == 1).sum() == 1379
