"""MedSelect's own inputs: four tables beside four HDF5 files, and everything that can be wrong."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import polars as pl
import pytest

from hilum.collection import EmbeddingInfo
from hilum.errors import LeakError, TableError, UsageError
from hilum.export import export_medselect
from hilum.ingest import ingest
from hilum.select.medselect_files import read_folder, read_medselect, read_pair
from hilum.select.task_plan import TaskPlan
from hilum.select.tasks import refuse_shared_patients
from small_source import small_source

NAMES = ("train_pos", "train_norm", "val_pos", "val_norm")
Frames = dict[str, pl.DataFrame]
Arrays = dict[str, Any]


def path_of(patient: int, study: int = 1) -> str:
    return f"CheXpert-v1.0/train/patient{patient:05}/study{study}/view1_frontal.jpg"


def inputs() -> tuple[Frames, Arrays]:
    """Six positives and five normals for training, fewer for validation."""
    frames, arrays = {}, {}
    for at, (name, n) in enumerate(zip(NAMES, (6, 5, 4, 3), strict=True)):
        frame = pl.DataFrame({"Path": [path_of(100 * at + row) for row in range(n)]})
        if name.endswith("pos"):
            frame = frame.with_columns(
                pl.Series("Edema", [1, 1, None, -1, 1, 0][:n]),
                pl.Series("Airspace opacity", [None, 0, 1, 1, 1, 1][:n]),
                pl.Series("Sex", ["Female", "Male", None, "Unknown", "Male", "Male"][:n]),
                pl.Series("Age", [61, 62, None, 64, 65, 66][:n]),
                pl.Series("Frontal/Lateral", ["Frontal", "Lateral", None, *["Frontal"] * 3][:n]),
                pl.Series("Note", ["ignored"] * n),
            )
        frames[name] = frame
        rows = np.arange(n, dtype=np.float32)
        arrays[name] = np.stack([rows + 1 + 10 * at, rows, np.ones(n, np.float32)], axis=1)
    return frames, arrays


def write(folder: Path, frames: Frames, arrays: Arrays) -> list[Path]:
    paths = []
    for name in NAMES:
        paths.append(folder / f"{name}.csv")
        frames[name].write_csv(paths[-1])
        with h5py.File(folder / f"{name}.hdf5", "w") as file:
            file.create_dataset("dataset", data=arrays[name])
    return paths


def test_rows_labels_people_and_vectors_are_joined(tmp_path: Path) -> None:
    frames, arrays = inputs()
    train, val = read_medselect(*write(tmp_path, frames, arrays))
    assert train.findings == ("Edema", "Lung Opacity", "No Finding")
    assert train.ids[5:7] == (path_of(5), path_of(100))
    assert train.patients[:2] == ("patient00000", "patient00001")
    nan = np.nan
    np.testing.assert_array_equal(
        train.labels,
        [
            [1, nan, 0],
            [1, 0, 0],
            [nan, 1, 0],
            [1, 1, 0],
            [1, 1, 0],
            [0, 1, 0],
            *[[nan, nan, 1]] * 5,
        ],
    )
    np.testing.assert_array_equal(
        train.vectors, np.concatenate([arrays["train_pos"], arrays["train_norm"]])
    )
    assert train.vectors.dtype == np.float32
    np.testing.assert_array_equal(train.people.female, [1, 0, nan, nan, 0, 0, *[nan] * 5])
    np.testing.assert_array_equal(train.people.age, [61, 62, nan, 64, 65, 66, *[nan] * 5])
    np.testing.assert_array_equal(train.people.frontal, [1, 0, nan, 1, 1, 1, *[nan] * 5])
    assert len(val.ids) == len(val.vectors) == 7


def test_tasks_take_normals_as_negatives(tmp_path: Path) -> None:
    train, val = read_medselect(*write(tmp_path, *inputs()))
    source = train.tasks(TaskPlan(4, 2, findings=("Edema",)), seed=3)
    tasks = source.batch(range(20))
    assert set(tasks.pool[tasks.pool_labels == 1].tolist()) == {0, 1, 3, 4}
    assert set(tasks.pool[tasks.pool_labels == 0].tolist()) == set(range(6, 11))
    refuse_shared_patients(source, val.tasks(TaskPlan(2, 2, findings=("Edema",))))


@pytest.mark.parametrize(("policy", "expected"), [("negative", 0.0), ("ignore", np.nan)])
def test_uncertain_labels_count_as_the_policy_says(
    policy: Any, expected: float, tmp_path: Path
) -> None:
    paths = write(tmp_path, *inputs())
    found = read_pair(paths[0], paths[1], policy=policy).labels[3, 0]
    np.testing.assert_equal(found, expected)
    with pytest.raises(UsageError, match="choose what an uncertain label counts as"):
        read_pair(paths[0], paths[1], policy="keep")


def test_normals_may_have_labels_and_a_column_of_their_own(tmp_path: Path) -> None:
    frames, arrays = inputs()
    frames["train_norm"] = frames["train_norm"].with_columns(
        pl.Series("No Finding", [1] * 5), pl.Series("Edema", [0, None, 0, 0, 0]),
        pl.Series("Fracture", [1] * 5),
    )  # fmt: skip
    paths = write(tmp_path, frames, arrays)
    found = read_pair(paths[0], paths[1])
    assert found.findings == ("Edema", "Lung Opacity", "No Finding")
    np.testing.assert_array_equal(found.labels[6:8], [[0, np.nan, 1], [np.nan, np.nan, 1]])


Change = Callable[[Frames, Arrays], None]


def column(name: str, title: str, values: list[Any]) -> Change:
    def change(frames: Frames, _: Arrays) -> None:
        frames[name] = frames[name].with_columns(pl.Series(title, values, strict=False))

    return change


def array(name: str, new: Callable[[Any], Any]) -> Change:
    def change(_: Frames, arrays: Arrays) -> None:
        arrays[name] = new(arrays[name].copy())

    return change


def spoil(value: float) -> Callable[[Any], Any]:
    def change(vectors: Any) -> Any:
        vectors[[1, 3]] = value
        return vectors

    return change


PATHS = [path_of(n) for n in range(6)]


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (array("train_pos", lambda v: v[:-1]), TableError,
         r"train_pos\.hdf5: expected \(6, dim\), a row for each line of train_pos\.csv, got \(5"),
        (array("val_norm", lambda v: v[:, 0]), TableError, r"val_norm\.hdf5: expected \(3, dim\)"),
        (array("train_norm", lambda v: v[:, :2]), TableError,
         r"beside .*train_pos\.csv have 3 numbers each, those beside .*train_norm\.csv 2"),
        (array("train_pos", spoil(np.nan)), UsageError,
         "2 of 6 vectors are not finite, the first is that of '.*patient00001"),
        (array("val_pos", spoil(0.0)), UsageError,
         "2 of 4 vectors are zero, the first is that of '.*patient00201"),
        (column("train_pos", "Edema", [1, 2, 0, 0, 0, 0]), TableError,
         "train_pos.csv: the label of '.*patient00001.*' for Edema is 2: expected 1, 0, -1"),
        (column("train_pos", "Edema", ["1", "yes", "0", "0", "0", "0"]), TableError,
         "train_pos.csv:3:Edema: expected a finite number .* got 'yes'"),
        (column("train_pos", "Path", [*PATHS[:5], PATHS[0]]), TableError,
         "train_pos.csv:7:Path: the id '.*patient00000.*' is already on line 2"),
        (column("train_norm", "Path", [path_of(101)] * 5), TableError,
         "id '.*patient00101.*' is there more than once"),
        (column("train_norm", "Path", [path_of(3), *[path_of(n) for n in range(101, 105)]]),
         TableError, "1 images are in both .*train_pos.csv and .*train_norm.csv, the first"),
        (column("train_norm", "Path", [*[path_of(n) for n in range(101, 105)], "film.png"]),
         TableError, "train_pos.csv: 1 of 11 images do not say whose they are, the first is 'film"),
        (column("val_pos", "Path", [path_of(2, 2), path_of(102, 2), path_of(200), path_of(201)]),
         LeakError, r"2 patients of .*train_pos\.csv are in .*val_pos\.csv as well \(patient00002"),
        (column("train_pos", "Sex", ["Female", "F", *["Male"] * 4]), TableError,
         "train_pos.csv:3:Sex: expected Female or Male or Unknown or an empty cell, got 'F'"),
        (column("train_pos", "Age", ["61", "62", "x", "1", "1", "1"]), TableError,
         "train_pos.csv:4:Age: expected a number or an empty cell, got 'x'"),
        (column("train_pos", "Age", ["61", "nan", "1", "1", "1", "1"]), TableError,
         "train_pos.csv:3:Age: expected a number or an empty cell, got 'nan'"),
    ],
)  # fmt: skip
def test_inputs_that_are_wrong_say_where_and_what(
    change: Change, error: type[Exception], message: str, tmp_path: Path
) -> None:
    frames, arrays = inputs()
    change(frames, arrays)
    with pytest.raises(error, match=message):
        read_medselect(*write(tmp_path, frames, arrays))


def test_other_lengths_in_validation_are_another_encoder(tmp_path: Path) -> None:
    frames, arrays = inputs()
    for name in ("val_pos", "val_norm"):
        arrays[name] = arrays[name][:, 1:]
    with pytest.raises(TableError, match=r"train_pos\.csv have 3 .*val_pos\.csv 2: are they"):
        read_medselect(*write(tmp_path, frames, arrays))


def test_missing_columns_and_files_are_named(tmp_path: Path) -> None:
    frames, arrays = inputs()
    frames["val_pos"] = frames["val_pos"].drop("Path")
    paths = write(tmp_path, frames, arrays)
    with pytest.raises(TableError, match=r"val_pos\.csv: no column 'Path'; the columns are Edema"):
        read_medselect(*paths)
    with pytest.raises(TableError, match=r"train_norm\.csv: no column is a condition; .* are Path"):
        read_pair(paths[1], paths[3])
    paths[0].with_suffix(".hdf5").unlink()
    with pytest.raises(TableError, match=r"train_pos\.csv: its embeddings .* in train_pos\.hdf5"):
        read_medselect(*paths)
    with pytest.raises(TableError, match=r"none\.csv: cannot be read as CSV"):
        read_pair(tmp_path / "none.csv", paths[1])


def test_a_table_of_people_says_whose_images_they_are(tmp_path: Path) -> None:
    frames, arrays = inputs()
    frames["train_pos"] = frames["train_pos"].with_columns(Path=pl.Series([*"abcdef"]))
    paths = write(tmp_path, frames, arrays)
    ids = [*"abcdef", *frames["train_norm"]["Path"]]
    people = pl.DataFrame(
        {"image_id": ids, "patient_id": [*"001122", *ids[6:]], "study_id": ids, "visit": [0] * 11}
    )
    people.write_csv(tmp_path / "people.csv")
    found = read_pair(paths[0], paths[1], people=tmp_path / "people.csv")
    assert found.patients[:6] == tuple("001122")
    people[1:].write_csv(tmp_path / "people.csv")
    with pytest.raises(TableError, match="1 of 11 images do not say whose they are"):
        read_pair(paths[0], paths[1], people=tmp_path / "people.csv")
    with pytest.raises(TableError, match=r"nobody\.csv: there is no such table of people"):
        read_pair(paths[0], paths[1], people=tmp_path / "nobody.csv")


def test_what_we_export_is_read_back(tmp_path: Path) -> None:
    source = small_source(tmp_path / "source", 48, split=True)
    made = ingest(source.root, tmp_path / "c", layout="folder", size=20, workers=1).collection
    vectors = np.random.default_rng(0).normal(size=(48, 3)).astype(np.float32)
    made = made.add_embedding("net", [(source.ids, vectors)], EmbeddingInfo(3, "a" * 64, "net"))
    folder = export_medselect(made, tmp_path / "out", "net")
    with pytest.raises(TableError, match="header but no rows"):  # no normal one in validation
        read_folder(folder)
    shutil.rmtree(folder / "meta_val")
    parts = read_folder(folder)
    assert set(parts) == {"train", "test"}
    people = dict(zip(source.ids, source.patients, strict=True))
    for split, part in parts.items():
        assert part.findings == ("Edema", "Pleural Effusion", "No Finding")
        assert part.labels[:, 2].tolist() == sorted(part.labels[:, 2])
        table = made.labels(split, policy="positive", findings=["Edema"])
        edema = dict(zip(table.ids, table.values[:, 0], strict=True))
        for at, image in enumerate(part.ids):
            assert part.patients[at] == people[image]
            np.testing.assert_array_equal(part.vectors[at], vectors[source.ids.index(image)])
            np.testing.assert_equal(part.labels[at, 0], edema[image])
    with pytest.raises(TableError, match="expected meta_train, meta_val, meta_tst with positives"):
        read_folder(tmp_path)
    for kind in ("csv", "hdf5"):
        shutil.copy(folder / f"meta_tst/positives.{kind}", folder / f"meta_train/positives.{kind}")
    with pytest.raises(LeakError, match=r"patients of train are in test as well \(p\d+, p\d+"):
        read_folder(folder)
