"""What single readers said: kept beside a collection, and told as tables."""

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

import hilum
from hilum.cli import app
from hilum.collection import Collection, open_collection, reader_shares, reader_tables
from hilum.errors import CollectionError
from hilum.ingest import ingest
from hilum.sources import SourceOptions
from hilum.tables import read_table
from trees_readers import vindr
from trees_sources import covidx


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Collection:
    folder = tmp_path_factory.mktemp("readings")
    source, uri = vindr(folder / "vindr"), folder / "c.lance"
    return ingest(source, uri, layout="vindr", pixels=False, prefix="v-", workers=1).collection


def test_each_reader_has_a_table_of_all_images_that_somebody_read(made: Collection) -> None:
    tables = reader_tables(made)
    assert list(tables) == ["R1", "R2", "R3", "R8", "R9", "R10", "R11"]
    assert {table.ids for table in tables.values()} == {("v-0a1b", "v-0a2c", "v-0a3d")}
    nan = np.nan
    np.testing.assert_array_equal(tables["R8"].column("Aortic Enlargement"), [1, 0, nan])
    np.testing.assert_array_equal(tables["R10"].column("COPD"), [1, nan, nan])
    np.testing.assert_array_equal(tables["R1"].column("Fibrosis"), [nan, nan, 1])


def test_shares_keep_the_doubt(made: Collection) -> None:
    table = reader_shares(made)
    np.testing.assert_allclose(table.column("Cardiomegaly"), [2 / 3, 0, 0])
    np.testing.assert_allclose(table.column("COPD"), [1 / 3, 0, 0])
    np.testing.assert_allclose(table.column("No Finding"), [0, 1, 0])


def test_a_view_has_the_readings_of_its_images(made: Collection) -> None:
    view = made.where("Cardiomegaly = 1")
    assert list(reader_tables(view)) == ["R8", "R9", "R10"]
    assert reader_shares(view).ids == ("v-0a1b",)
    with pytest.raises(CollectionError, match=r"holds no readings of these 1 images by single"):
        reader_tables(made.where("split = 'test'"))


def test_a_collection_without_readers_says_so(tmp_path: Path) -> None:
    source = covidx(tmp_path / "covidx")
    plain = ingest(source, tmp_path / "c.lance", layout="covidx", pixels=False).collection
    assert not (tmp_path / "c.lance/_readings.lance").exists()
    with pytest.raises(CollectionError, match=r"holds no readings of these 4 images.*\(vindr\)"):
        reader_shares(plain)


def test_readings_of_two_sources_stand_side_by_side_and_are_replaced_alone(tmp_path: Path) -> None:
    source, uri = vindr(tmp_path / "vindr"), tmp_path / "c.lance"
    for prefix, name in (("a-", "first"), ("b-", "second"), ("a-", "first")):
        ingest(source, uri, layout="vindr", pixels=False, prefix=prefix, name=name)
    assert len(reader_shares(open_collection(uri)).ids) == 6
    assert reader_shares(open_collection(uri).where("source = 'first'")).ids[0] == "a-0a1b"


def test_another_consensus_is_another_source_of_labels(tmp_path: Path) -> None:
    source, uri = vindr(tmp_path / "vindr"), tmp_path / "c.lance"
    ingest(source, uri, layout="vindr", pixels=False)
    with pytest.raises(hilum.HilumError, match="have changed in the source"):
        ingest(source, uri, layout="vindr", pixels=False, options=SourceOptions(consensus="any"))


def test_the_command_writes_tables_that_evaluate_reads(made: Collection, tmp_path: Path) -> None:
    out = tmp_path / "out"
    ran = CliRunner().invoke(app, ["readers", made.uri, str(out), "--json"])
    assert ran.exit_code == 0, ran.output
    assert json.loads(ran.stdout) == {
        "out": str(out),
        "images": 3,
        "readers": {"R1": 1, "R2": 1, "R3": 1, "R8": 2, "R9": 2, "R10": 1, "R11": 1},
    }
    table = read_table(out / "readers" / "R8.csv")
    np.testing.assert_array_equal(table.values, reader_tables(made)["R8"].values)
    assert read_table(out / "share.csv").ids == table.ids
    truth = made.where("split <> 'test'").labels()
    found = hilum.evaluate(
        read_table(out / "share.csv"),
        truth,
        readers={"R8": table},
        threshold=0.5,
        by="patient_id",
        bootstrap=10,
    )
    assert found.panel is not None
    assert set(found.panel.readers) == {"R8"}


def test_show_counts_the_readers(made: Collection) -> None:
    ran = CliRunner().invoke(app, ["show", made.uri])
    assert "readers   R8 2, R9 2, R1 1, R10 1, R11 1, R2 1, R3 1 (reader: images)" in ran.stdout
