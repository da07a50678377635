"""From a tree of DICOM files to a collection, through the real command: pixels, order, no names."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from hilum.collection import open_collection
from hilum.phantom import write_hospital

SEED, PATIENTS, SIZE = 4, 5, 64


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dicom")
    write_hospital(folder / "dicom", PATIENTS, size=SIZE, seed=SEED, dicom=True, workers=1)
    write_hospital(folder / "png", PATIENTS, size=SIZE, seed=SEED, workers=1)
    (folder / "dicom" / "images" / "broken.dcm").write_bytes(b"not a radiograph")
    return folder


@pytest.fixture(scope="module")
def ingested(folder: Path) -> "subprocess.CompletedProcess[str]":
    command = [
        "ingest", str(folder / "dicom" / "images"), str(folder / "c.lance"), "--layout", "dicom",
        "--size", str(SIZE), "--key", str(folder / "secret.key"), "--json",
    ]  # fmt: skip
    return subprocess.run(
        [sys.executable, "-m", "hilum", *command], capture_output=True, text=True, check=False
    )


def test_every_film_comes_in_and_the_broken_file_is_in_quarantine(
    folder: Path, ingested: "subprocess.CompletedProcess[str]"
) -> None:
    assert ingested.returncode == 3, ingested.stderr
    table = pl.read_csv(folder / "png" / "table.csv")
    facts = json.loads(ingested.stdout)
    assert facts["images"] == facts["added"] == table.height
    assert facts["quarantined"] == {"not-dicom": 1}


def test_views_ages_sexes_and_the_order_of_visits_survive(
    folder: Path, ingested: "subprocess.CompletedProcess[str]"
) -> None:
    assert ingested.returncode == 3
    columns = ["patient_id", "visit", "view", "sex", "age"]
    here = open_collection(folder / "c.lance").table(columns)
    there = pl.read_csv(folder / "png" / "table.csv").select(columns)

    def patients(table: pl.DataFrame) -> list[list[tuple[Any, ...]]]:
        groups = table.partition_by("patient_id")
        return sorted(sorted(g.drop("patient_id").rows()) for g in groups)

    first = there["visit"].min()
    aligned = there.with_columns(visit=pl.col("visit") - first)
    assert patients(here) == [
        [(visit, view, sex, int(age)) for visit, view, sex, age in rows]
        for rows in patients(aligned)
    ]  # PatientAge holds whole years


def test_windowed_pixels_are_those_of_the_png_hospital(
    folder: Path, ingested: "subprocess.CompletedProcess[str]"
) -> None:
    from hilum.ingest import ingest

    assert ingested.returncode == 3
    ours = open_collection(folder / "c.lance").pixels().astype(int)
    png = ingest(folder / "png", folder / "p.lance", layout="folder", size=SIZE).collection
    theirs = png.pixels().astype(int)
    distance = np.abs(ours[:, None] - theirs[None]).max(axis=(2, 3))  # films are in another order
    assert sorted(distance.argmin(axis=1)) == list(range(len(theirs)))
    assert distance.min(axis=1).max() <= 2


def test_no_identifier_is_left_in_the_collection_or_in_what_was_printed(
    folder: Path, ingested: "subprocess.CompletedProcess[str]"
) -> None:
    names = pl.read_csv(folder / "png" / "table.csv")["patient_id"].unique().to_list()
    stored = b"".join(p.read_bytes() for p in (folder / "c.lance").rglob("*") if p.is_file())
    for name in names:
        assert name.encode() not in stored
        assert name not in ingested.stdout + ingested.stderr
    assert "broken" not in ingested.stdout + ingested.stderr
