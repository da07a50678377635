"""Out of a collection and back: CSV, CheXzero's files, MedSelect's files."""

import csv
import json
import sys
from pathlib import Path

import h5py
import numpy as np
import polars as pl
import pytest
from numpy.typing import NDArray

from hilum.cli import main
from hilum.collection import Collection, EmbeddingInfo, open_collection
from hilum.errors import ClashError, CollectionError, TableError, UsageError
from hilum.export import (
    export,
    export_chexzero,
    export_medselect,
    export_table,
    import_chexzero,
    import_medselect,
)
from hilum.export.hdf5 import open_dataset
from hilum.export.table import Place, place_of
from hilum.ingest import ingest
from hilum.sources import read_source
from hilum.tables import read_table
from small_source import small_source
from trees_sources import chexpert
from watching import misuse

INFO = EmbeddingInfo(3, "a" * 64, "small net")


@pytest.fixture(scope="module")
def collection(tmp_path_factory: pytest.TempPathFactory) -> Collection:
    """Return 24 films at 20 px, half of them wide, with vectors (n, n², 1)."""
    root = tmp_path_factory.mktemp("export")
    source = small_source(root / "source", split=True, width=50)
    made = ingest(source.root, root / "c", layout="folder", size=20, workers=1).collection
    return made.add_embedding("net", [(source.ids, numbers(24))], INFO)


def numbers(count: int) -> NDArray[np.float32]:
    at = np.arange(count, dtype=np.float32)
    return np.stack([at, at**2, np.ones_like(at)], axis=1)


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


# --------------------------------------------------------------------------- CSV


def test_the_csv_is_a_label_table(collection: Collection, tmp_path: Path) -> None:
    path = export_table(collection, tmp_path / "new" / "table.csv")
    table = read_table(path, extra=("patient_id",))
    labels = collection.labels()
    assert table.ids == labels.ids
    assert table.extra["patient_id"] == labels.extra["patient_id"]
    np.testing.assert_array_equal(table.values, labels.values)
    assert rows(path)[0]["report_impression"] == 'Impression, "0"'


def test_the_csv_holds_the_rows_of_the_view(collection: Collection, tmp_path: Path) -> None:
    path = export_table(collection.where("split = 'test'"), tmp_path / "test.csv")
    assert {row["split"] for row in rows(path)} == {"test"}
    assert len(rows(path)) == 8


# --------------------------------------------------------------------------- CheXzero


def test_chexzero_reads_what_it_expects(collection: Collection, tmp_path: Path) -> None:
    folder = export_chexzero(collection, tmp_path / "chexzero")
    with h5py.File(folder / "cxr.h5") as file:
        images = file["cxr"]
        assert (images.shape, images.dtype) == ((24, 20, 20), np.float32)
        np.testing.assert_array_equal(images[:], collection.pixels().astype(np.float32))
    paths = rows(folder / "cxr_paths.csv")
    assert [row["Path"] for row in paths] == list(collection.ids())
    assert list(paths[0]) == ["Path"]
    texts = rows(folder / "impressions.csv")
    assert texts[0] == {"filename": "p0-0.txt", "impression": 'Impression, "0"'}
    assert texts[1] == {"filename": "p0-1.txt", "impression": "NO IMPRESSION"}
    assert len(texts) == 24


def test_chexzero_and_back_gives_the_same_collection(
    collection: Collection, tmp_path: Path
) -> None:
    folder = export_chexzero(collection, tmp_path / "chexzero")
    back = import_chexzero(folder, tmp_path / "back").collection
    np.testing.assert_array_equal(back.pixels(), collection.pixels())
    kept = [
        *("image_id", "patient_id", "study_id", "visit", "view", "age", "sex", "split"),
        *("report_findings", "report_impression", *collection.findings),
    ]
    assert back.table(kept).equals(collection.table(kept))
    assert back.size == 20
    assert import_chexzero(folder, tmp_path / "back").added == 0


def test_chexzeros_own_files_say_who_the_patients_are(tmp_path: Path) -> None:
    images = [
        "CheXpert-v1.0/train/patient00001/study1/view1_frontal.jpg",
        "CheXpert-v1.0/train/patient00001/study2/view1_frontal.jpg",
        "files/p10/p10000032/s50414267/02aa804e.jpg",
        "elsewhere.jpg",
    ]
    chexzero_files(tmp_path, images, np.full((4, 8, 8), 7.0))
    (tmp_path / "impressions.csv").write_text(
        "filename,impression\na.txt,No acute process.\na.txt,NO IMPRESSION\nb.txt,Edema.\nc.txt,\n"
    )
    report = import_chexzero(tmp_path, tmp_path / "c")
    frame = report.collection.table()
    assert frame["patient_id"].to_list() == [
        *("patient00001", "patient00001", "p10000032", "elsewhere.jpg"),
    ]
    assert frame["image_id"].to_list() == [
        *("patient00001_study1_view1_frontal", "patient00001_study2_view1_frontal"),
        *("02aa804e", "elsewhere.jpg"),
    ]
    assert frame["study_id"].to_list() == [
        *("patient00001_study1", "patient00001_study2", "s50414267", "elsewhere.jpg"),
    ]
    assert frame["visit"].to_list() == [0, 1, 0, 0]
    assert frame["report_impression"].to_list() == ["No acute process.", None, "Edema.", None]
    assert frame["split"][0] == frame["split"][1]
    assert (report.collection.pixels() == 7).all()


MIMIC = "/deep/group/data/mimic-cxr/physionet.org/files/mimic-cxr-jpg/2.0.0/files/p10/"


def test_ids_of_mimic_are_those_of_its_layout_however_long_the_path_was(tmp_path: Path) -> None:
    names = [f"p10000032/s5041426{n}/02aa804e-bde0afdd-112c0b34-7bc16630-4e38401{n}.jpg"
             for n in range(3)]  # fmt: skip
    chexzero_files(tmp_path, [MIMIC + name for name in names], np.full((3, 8, 8), 7.0))
    frame = import_chexzero(tmp_path, tmp_path / "c").collection.table()
    assert frame["image_id"][2] == "02aa804e-bde0afdd-112c0b34-7bc16630-4e384012"
    assert frame["study_id"].to_list() == ["s50414260", "s50414261", "s50414262"]
    assert frame["patient_id"].unique().to_list() == ["p10000032"]
    assert frame["visit"].to_list() == [0, 0, 0]  # the numbers of MIMIC's studies are random


@pytest.mark.parametrize(
    ("cell", "impression"),
    [
        ("NO IMPRESSION", None),
        ('" NO IMPRESSION "', None),
        ("", None),
        ('""', None),
        ('" "', None),
        (" ", None),
        ('"  \n "', None),
        ("no impression", "no impression"),  # somebody wrote this
        ('"Edema, mild.\n2. No ""acute"" change."', 'Edema, mild.\n2. No "acute" change.'),
        (" Normal. ", "Normal."),
    ],
)
def test_impressions_come_back_as_they_are_and_empty_ones_as_unknown(
    tmp_path: Path, cell: str, impression: str | None
) -> None:
    chexzero_files(tmp_path, ["a.jpg", "b.jpg"], np.full((2, 8, 8), 7.0))
    (tmp_path / "impressions.csv").write_text(f"filename,impression\na.txt,{cell}\nb.txt,Normal.\n")
    frame = import_chexzero(tmp_path, tmp_path / "c").collection.table()
    assert frame["report_impression"].to_list() == [impression, "Normal."]


def test_an_impression_of_another_study_than_the_images_is_refused(tmp_path: Path) -> None:
    images = [f"{MIMIC}p10000032/s5041426{n}/02aa804e-{n}.jpg" for n in range(2)]
    chexzero_files(tmp_path, images, np.full((2, 8, 8), 7.0))
    (tmp_path / "impressions.csv").write_text(
        "filename,impression\ns50414261.txt,Edema.\ns50414260.txt,Normal.\n"
    )
    message = (
        r"impressions\.csv: row 1: expected the report s50414260\.txt of the image in the same row "
        r"of cxr_paths\.csv, got s50414261\.txt; the two files do not belong together"
    )
    with pytest.raises(TableError, match=message):
        import_chexzero(tmp_path, tmp_path / "c")


def test_impressions_that_are_not_those_of_the_table_beside_them_are_refused(
    collection: Collection, tmp_path: Path
) -> None:
    """A file whose rows moved, or whose words changed, is never read past."""
    folder = export_chexzero(collection, tmp_path / "chexzero")
    path = folder / "impressions.csv"
    lines = path.read_text().splitlines()
    path.write_text("\n".join([lines[0], lines[2], lines[1], *lines[3:]]) + "\n")
    message = (
        r"impressions\.csv: 2 of 24 impressions are not those of table\.csv, the first in row 1, "
        r"image '[^']+': keep the file that is right and take the other away$"
    )
    with pytest.raises(TableError, match=message):
        import_chexzero(folder, tmp_path / "back")
    (folder / "table.csv").unlink()
    frame = import_chexzero(folder, tmp_path / "alone").collection.table()
    assert frame["report_impression"][1] == 'Impression, "0"'


@pytest.mark.parametrize(
    ("path", "place"),
    [
        ("files/p10/p10000032/s50414267/02aa-1.jpg", Place("02aa-1", "p10000032", "s50414267")),
        ("p10000032/s50414267", Place("s50414267", "p10000032", "s50414267")),
        (
            "CheXpert-v1.0/train/patient00001/study12/view1_frontal.jpg",
            Place("patient00001_study12_view1_frontal", "patient00001", "patient00001_study12", 12),
        ),
        (
            "CheXpert-v1.0/test/patient64741/study1",
            Place("patient64741_study1", "patient64741", "patient64741_study1", 1),
        ),
        ("p100000321/s50414267/a.jpg", None),
        ("xpatient1/study1/a.jpg", None),
        ("02aa-1.jpg", None),
    ],
)
def test_paths_worked_by_hand(path: str, place: Place | None) -> None:
    assert place_of(path) == place


def test_a_path_of_chexpert_has_the_ids_that_its_layout_gives(tmp_path: Path) -> None:
    listing = read_source(chexpert(tmp_path), "chexpert")
    for row in listing.frame.iter_rows(named=True):
        place = place_of(f"CheXpert-v1.0-small/{row['file']}")
        assert place
        assert (place.image, place.patient, place.study) == (
            row["image_id"], row["patient_id"], row["study_id"],
        )  # fmt: skip


def test_a_black_image_of_chexzero_goes_into_quarantine(tmp_path: Path) -> None:
    values = np.full((3, 8, 8), 7.0)
    values[1] = 0
    values[2, 0, 0] = 300
    chexzero_files(tmp_path, ["a.jpg", "b.jpg", "c.jpg"], values)
    report = import_chexzero(tmp_path, tmp_path / "c")
    assert report.quarantined == {"blank": 1, "range": 1}
    assert report.collection.ids() == ("a.jpg",)


def chexzero_files(folder: Path, images: list[str], values: NDArray[np.float64]) -> None:
    pl.DataFrame({"Path": images}).write_csv(folder / "cxr_paths.csv")
    with h5py.File(folder / "cxr.h5", "w") as file:
        file.create_dataset("cxr", data=values.astype(np.float32))


@pytest.mark.parametrize(
    ("images", "shape", "message"),
    [
        (["a", "b"], (3, 8, 8), r"cxr.h5: 3 images, but cxr_paths.csv names 2; they belong"),
        (
            ["a", "b"],
            (2, 8, 9),
            r"cxr.h5: expected images of shape \(n, size, size\), got \(2, 8, 9",
        ),
        (["a", "b"], (2, 8), r"expected images of shape \(n, size, size\), got \(2, 8\)"),
        (["a", "a"], (2, 8, 8), r"cxr_paths.csv: expected a different path on every line"),
    ],
)
def test_files_of_chexzero_that_do_not_fit_are_refused(
    tmp_path: Path, images: list[str], shape: tuple[int, ...], message: str
) -> None:
    chexzero_files(tmp_path, images, np.ones(shape))
    with pytest.raises(TableError, match=message):
        import_chexzero(tmp_path, tmp_path / "c")
    assert not (tmp_path / "c").exists()


def test_impressions_for_another_number_of_images_are_refused(tmp_path: Path) -> None:
    chexzero_files(tmp_path, ["a", "b"], np.ones((2, 8, 8)))
    (tmp_path / "impressions.csv").write_text("filename,impression\na.txt,Edema.\n")
    with pytest.raises(TableError, match=r"1 impressions for 2 images .* line by line"):
        import_chexzero(tmp_path, tmp_path / "c")


def test_a_collection_without_pixels_is_no_chexzero(tmp_path: Path) -> None:
    source = small_source(tmp_path / "source", 4)
    table_only = ingest(source.root, tmp_path / "c", layout="folder", pixels=False).collection
    with pytest.raises(CollectionError, match="made with --no-pixels"):
        export_chexzero(table_only, tmp_path / "out")
    assert not (tmp_path / "out" / "cxr.h5").exists()


def test_an_hdf5_that_points_elsewhere_is_refused(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "secret.h5", "w") as file:
        file.create_dataset("cxr", data=np.ones((1, 4, 4)))
    with h5py.File(tmp_path / "link.h5", "w") as file:
        file["cxr"] = h5py.ExternalLink("secret.h5", "cxr")
    with h5py.File(tmp_path / "virtual.h5", "w") as file:
        layout = h5py.VirtualLayout((1, 4, 4), "f8")
        layout[:] = h5py.VirtualSource(tmp_path / "secret.h5", "cxr", (1, 4, 4))
        file.create_virtual_dataset("cxr", layout)
    with h5py.File(tmp_path / "outside.h5", "w") as file:
        file.create_dataset("cxr", (16,), "u1", external=[("secret.h5", 0, 16)])
    with h5py.File(tmp_path / "text.h5", "w") as file:
        file.create_dataset("cxr", data=[b"text"])
    for name in ("link", "virtual", "outside", "text"):
        with (
            pytest.raises(
                TableError, match=r"expected a numeric dataset 'cxr' stored in this file"
            ),
            open_dataset(tmp_path / f"{name}.h5", "cxr"),
        ):
            pass
    (tmp_path / "no.h5").write_bytes(b"no")
    with (
        pytest.raises(TableError, match="cannot be read as HDF5"),
        open_dataset(tmp_path / "no.h5", "cxr"),
    ):
        pass


# --------------------------------------------------------------------------- MedSelect


def test_medselect_reads_what_it_expects(collection: Collection, tmp_path: Path) -> None:
    folder = export_medselect(collection, tmp_path / "medselect", "net")
    number = {image: n for n, image in enumerate(collection.ids())}
    written = 0
    for part in ("meta_train", "meta_val", "meta_tst"):
        for kind in ("positives", "no_findings"):
            lines = rows(folder / part / f"{kind}.csv")
            with h5py.File(folder / part / f"{kind}.hdf5") as file:
                vectors = file["dataset"][:]
            assert vectors.dtype == np.float32
            assert vectors.shape == (len(lines), 3)
            for line, vector in zip(lines, vectors, strict=True):
                assert vector[0] == number[line["Path"]]  # row i belongs to row i
            written += len(lines)
            if kind == "positives":
                assert all("1" in (r["Edema"], r["Pleural Effusion"]) for r in lines)
            else:
                assert all(r["No Finding"] == "1" for r in lines)
                assert not any("1" in (r["Edema"], r["Pleural Effusion"]) for r in lines)
    labels = collection.labels(policy="positive").values
    either = (labels[:, :2] == 1).any(axis=1) | (labels[:, 2] == 1)
    assert written == either.sum()
    first = rows(folder / "meta_train" / "positives.csv")[0]
    assert first["Sex"] == "Male"
    assert first["Frontal/Lateral"] == "Frontal"
    assert float(first["Age"]) == 20


def test_an_image_with_a_condition_is_never_a_normal_one(tmp_path: Path) -> None:
    source = small_source(tmp_path / "source", 4)
    frame = pl.read_csv(source.root / "table.csv", infer_schema=False)
    contradictory = frame.with_columns(pl.lit("1").alias("No Finding"))
    contradictory.write_csv(source.root / "table.csv")
    made = ingest(source.root, tmp_path / "c", layout="folder", pixels=False).collection
    made = made.add_embedding("net", [(source.ids, numbers(4))], INFO)
    folder = export_medselect(made, tmp_path / "out", "net")
    images = [row["Path"] for path in folder.rglob("*s.csv") for row in rows(path)]
    assert sorted(images) == list(source.ids)


def test_uncertain_labels_are_rewritten_by_the_policy(
    collection: Collection, tmp_path: Path
) -> None:
    expected = collection.labels().values
    for policy, cell in (("positive", "1"), ("negative", "0"), ("ignore", ""), ("keep", "-1")):
        folder = export_medselect(collection, tmp_path / policy, "net", policy)  # type: ignore[arg-type]
        lines = {row["Path"]: row for path in folder.rglob("positives.csv") for row in rows(path)}
        uncertain = [
            image for image, value in zip(collection.ids(), expected[:, 0], strict=True)
            if value == -1 and image in lines
        ]  # fmt: skip
        assert uncertain
        assert {lines[image]["Edema"] for image in uncertain} == {cell}


def test_medselect_and_back_gives_labels_vectors_and_people(
    collection: Collection, tmp_path: Path
) -> None:
    folder = export_medselect(collection, tmp_path / "medselect", "net")
    back = import_medselect(folder, tmp_path / "back").collection
    ids, vectors = back.vectors("medselect")
    number = {image: n for n, image in enumerate(collection.ids())}
    np.testing.assert_array_equal(vectors, numbers(24)[[number[image] for image in ids]])
    here = collection.labels(policy="positive")
    there = back.labels(findings=here.findings)
    for row, image in enumerate(there.ids):
        np.testing.assert_array_equal(there.values[row], here.values[number[image]])
    people = ["image_id", "patient_id", "study_id", "visit", "view", "age", "sex", "split"]
    original = collection.table(people).filter(pl.col("image_id").is_in(ids))
    assert back.table(people).sort("image_id").equals(original.sort("image_id"))
    again = import_medselect(folder, tmp_path / "back")
    assert (again.added, again.collection.version) == (0, back.version)


def test_medselects_own_files_need_no_other(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    for part, patient in (("meta_train", "patient00001"), ("meta_tst", "patient00002")):
        (folder / part).mkdir(parents=True)
        (folder / part / "positives.csv").write_text(
            "Path,Sex,Age,Frontal/Lateral,Edema,Lung Opacity\n"
            f"CheXpert-v1.0/train/{patient}/study1/a.jpg,Female,68,Frontal,1.0,\n"
            f"CheXpert-v1.0/train/{patient}/study1/b.jpg,Male,,Lateral,0.0,1.0\n"
        )
        with h5py.File(folder / part / "positives.hdf5", "w") as file:
            file.create_dataset("dataset", data=numbers(2))
    report = import_medselect(folder, tmp_path / "c", embedding="moco", prefix="m/")
    frame = report.collection.table()
    assert frame["patient_id"].to_list() == [*["m/patient00001"] * 2, *["m/patient00002"] * 2]
    assert frame["split"].to_list() == ["train", "train", "test", "test"]
    assert frame["view"].to_list() == [None, "LATERAL"] * 2
    assert frame["sex"].to_list() == ["F", "M"] * 2
    assert frame["Lung Opacity"].to_list() == [None, 1] * 2
    assert report.collection.vectors("moco")[1].shape == (4, 3)


def test_files_of_medselect_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    with pytest.raises(TableError, match="expected meta_train, meta_val, meta_tst with positives"):
        import_medselect(tmp_path, tmp_path / "c")
    (tmp_path / "meta_train").mkdir()
    table = tmp_path / "meta_train" / "positives.csv"
    table.write_text("Path,Edema\na,yes\nb,1\n")
    with pytest.raises(TableError, match=r"positives.csv:2:Edema: expected 1, 0, -1 .* got 'yes'"):
        import_medselect(tmp_path, tmp_path / "c")
    table.write_text("Path,Edema\na,1\nb,1\n")
    with h5py.File(table.with_suffix(".hdf5"), "w") as file:
        file.create_dataset("dataset", data=numbers(3))
    with pytest.raises(TableError, match=r"expected \(2, dim\), a row for each line .* \(3, 3\)"):
        import_medselect(tmp_path, tmp_path / "c")


def test_without_normal_images_or_vectors_there_is_no_medselect(
    collection: Collection, tmp_path: Path
) -> None:
    with pytest.raises(CollectionError, match="no embedding 'moco'"):
        export_medselect(collection, tmp_path / "out", "moco")
    source = small_source(tmp_path / "source", 4)
    table = source.root / "table.csv"
    table.write_text(table.read_text().replace("No Finding", "Hernia"))
    other = ingest(source.root, tmp_path / "c", layout="folder", pixels=False).collection
    with pytest.raises(CollectionError, match="has no label 'No Finding'"):
        export_medselect(other, tmp_path / "out", "net")


# --------------------------------------------------------------------------- by name


def test_formats_and_policies_are_known_by_name(collection: Collection, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="'tfrecord' is not a format; choose from csv, chexzero"):
        export(collection, tmp_path, "tfrecord")
    with pytest.raises(UsageError, match=r"hold an embedding; name it \(there is net\)"):
        export(collection, tmp_path, "medselect")
    with pytest.raises(UsageError, match="'maybe' is not a label policy"):
        export(collection, tmp_path, "medselect", embedding="net", policy="maybe")


def test_an_import_clashes_like_any_source(collection: Collection, tmp_path: Path) -> None:
    folder = export_chexzero(collection, tmp_path / "one")
    import_chexzero(folder, tmp_path / "c")
    with pytest.raises(ClashError, match="24 images of source 'two'"):
        import_chexzero(folder, tmp_path / "c", name="two")
    assert import_chexzero(folder, tmp_path / "c", name="two", prefix="two-").added == 24


def test_the_commands_export_and_import(
    collection: Collection,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def run(*words: object) -> str:
        monkeypatch.setattr(sys, "argv", ["hilum", *map(str, words)])
        with pytest.raises(SystemExit) as stop:
            main()
        assert not stop.value.code
        return capsys.readouterr().out

    out = tmp_path / "chexzero"
    facts = json.loads(
        run("export", collection.uri, out, "--to", "chexzero", "--where", "sex = 'M'", "--json")
    )
    assert facts == {"out": str(out), "format": "chexzero", "images": 12}
    run("ingest", out, tmp_path / "c", "--layout", "chexzero")
    assert open_collection(tmp_path / "c").ids() == collection.where("sex = 'M'").ids()
    assert run("export", collection.uri, tmp_path / "t.csv").strip() == str(tmp_path / "t.csv")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--layout", "chexzero", "--size", "64"), "--size: of no effect with --layout chexzero"),
        (("--layout", "medselect", "--views", "PA"), "--views: of no effect with --layout m"),
    ],
)
def test_an_option_that_an_import_would_not_heed_is_refused(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    words: tuple[str, ...],
    message: str,
) -> None:
    monkeypatch.setattr(
        sys, "argv", ["hilum", "ingest", str(tmp_path), str(tmp_path / "c"), *words]
    )
    with pytest.raises(SystemExit) as stop:
        main()
    assert stop.value.code == 2
    assert message in capsys.readouterr().err


def test_an_option_that_an_export_would_not_heed_is_refused(
    collection: Collection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    command = ["export", collection.uri, str(tmp_path / "t.csv"), "--embedding", "none",
               "--policy", "?"]  # fmt: skip
    said = misuse(command, monkeypatch, capsys)
    assert said == (2, "Error: --embedding, --policy: of no effect with --to csv")
    assert not (tmp_path / "t.csv").exists()
    said = misuse(["show", collection.uri, "--quarantine", "--where", "?"], monkeypatch, capsys)
    assert said == (2, "Error: --where: of no effect with --quarantine")
