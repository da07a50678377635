"""MedSelect's own inputs: tables of images beside their embeddings, positives and normals apart.

::

    positives.csv    positives.hdf5      images with at least one condition
    normals.csv      normals.hdf5        images that are positive for No Finding

CSV columns: Path; one per condition (1, 0, -1 or empty), which the normals may lack; and, if there,
Sex (Male, Female), Age, Frontal/Lateral and AP/PA. Each HDF5 has one dataset, `dataset`, (n, dim);
row i belongs to row i of the CSV. The original checks the number of rows and nothing else.
"""

from collections.abc import Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import Final

import numpy as np
import polars as pl

from hilum.errors import LeakError, TableError, UsageError
from hilum.export.hdf5 import open_dataset
from hilum.export.medselect import FOLDERS
from hilum.export.table import people_of, read_csv
from hilum.findings import Policy, apply_policy, canonical
from hilum.select.beside import People
from hilum.select.labelled import LabelledVectors
from hilum.select.pool import Floats, Vectors, refuse_unusable
from hilum.select.task_plan import NO_FINDING
from hilum.tables import Table, read_table

_PATH: Final = "Path"
_WORDS: Final[Mapping[str, Mapping[str, float | None]]] = {
    "Sex": {"Female": 1.0, "Male": 0.0, "Unknown": None},
    "Frontal/Lateral": {"Frontal": 1.0, "Lateral": 0.0},
    "AP/PA": {"AP": 1.0, "PA": 0.0, "LL": None, "RL": None},
}


def read_medselect(
    train_positives: str | Path,
    train_normals: str | Path,
    val_positives: str | Path,
    val_normals: str | Path,
    *,
    policy: Policy = "positive",
    people: str | Path | None = None,
) -> tuple[LabelledVectors, LabelledVectors]:
    """Read the four tables of a training, each beside its HDF5 file.

    Parameters
    ----------
    train_positives, train_normals, val_positives, val_normals
        CSV files.
    policy
        What an uncertain label counts as. The original expects uncertain labels to be 1 already.
    people
        A table of `image_id` (as in Path), `patient_id`, `study_id` and `visit`, for paths that do
        not say whose images they are, as those of CheXpert and MIMIC-CXR do. If None,
        ``../table.csv`` is used where it is there, which `hilum export` writes.

    Returns
    -------
    Training and validation.

    Raises
    ------
    TableError
        If a file is missing or not such a file, or two do not fit each other.
    UsageError
        If a vector is zero or not finite, or the policy decides nothing.
    LeakError
        If a patient is in both.
    """
    train = read_pair(train_positives, train_normals, policy=policy, people=people)
    val = read_pair(val_positives, val_normals, policy=policy, people=people)
    _refuse_strangers({str(train_positives): train, str(val_positives): val})
    return train, val


def read_folder(
    folder: str | Path, policy: Policy = "positive", splits: Sequence[str] = tuple(FOLDERS)
) -> dict[str, LabelledVectors]:
    """Read what `hilum export --to medselect` writes, by split.

    Parameters
    ----------
    splits
        Of train, val, test: which to read, where they are there. The original has the positives
        of its test in two tables, which are not read.

    Errors as in `read_medselect`.
    """
    folder = Path(folder)
    found = {
        split: read_pair(
            folder / name / "positives.csv", folder / name / "no_findings.csv", policy=policy
        )
        for split, name in FOLDERS.items()
        if split in splits and (folder / name).is_dir()
    }
    if not found:
        raise TableError(
            f"{folder}: expected {', '.join(FOLDERS[split] for split in splits)} with "
            "positives.csv and no_findings.csv in them"
        )
    _refuse_strangers(found)
    return found


def read_pair(
    positives: str | Path,
    normals: str | Path,
    *,
    policy: Policy = "positive",
    people: str | Path | None = None,
) -> LabelledVectors:
    """Read one split: a table of positives and one of normals, each beside its HDF5 file.

    Parameters and errors as in `read_medselect`. Rows are the positives, then the normals.
    """
    if policy == "keep":
        raise UsageError("choose what an uncertain label counts as: ignore, positive or negative")
    paths = (Path(positives), Path(normals))
    frames = [read_csv(path, [_PATH]) for path in paths]
    tables = [_labels(path, frame) for path, frame in zip(paths, frames, strict=True)]
    findings = tuple(name for name in tables[0].findings if name != NO_FINDING)
    if not findings:
        raise TableError(
            f"{paths[0]}: no column is a condition; the columns are {', '.join(frames[0].columns)}"
        )
    if both := set(tables[0].ids) & set(tables[1].ids):
        raise TableError(
            f"{len(both)} images are in both {paths[0]} and {paths[1]}, the first is "
            f"{min(both)!r}; an image with a condition is not a normal one"
        )
    ids = tables[0].ids + tables[1].ids
    beside = {
        name: np.concatenate([_numbers(*one, name) for one in zip(paths, frames, strict=True)])
        for name in ("Age", *_WORDS)
    }
    labels = [
        _target(table, findings, policy, normal=normal)
        for table, normal in zip(tables, (0, 1), strict=True)
    ]
    return LabelledVectors(
        ids=ids,
        vectors=_vectors(paths, tables),
        findings=(*findings, NO_FINDING),
        labels=np.vstack(labels),
        patients=_patients(ids, paths[0], people),
        people=People(beside["Age"], beside["Sex"], beside["Frontal/Lateral"], beside["AP/PA"]),
    )


def _refuse_strangers(parts: Mapping[str, LabelledVectors]) -> None:
    """Make sure that splits are of one encoder, and of different people."""
    for (here, one), (there, other) in combinations(parts.items(), 2):
        if one.vectors.shape[1] != other.vectors.shape[1]:
            raise TableError(
                f"the embeddings of {here} have {one.vectors.shape[1]} numbers each, those of "
                f"{there} {other.vectors.shape[1]}: are they of one encoder?"
            )
        if shared := sorted(set(one.patients) & set(other.patients)):
            raise LeakError(
                f"{len(shared)} patients of {here} are in {there} as well "
                f"({', '.join(shared[:3])}): what is learnt from one would be tested on the same "
                "people; split by patient"
            )


def _labels(path: Path, frame: pl.DataFrame) -> Table:
    if not any(map(canonical, frame.columns)):  # as normals may be
        return Table(tuple(frame[_PATH].fill_null("")), (), np.empty((frame.height, 0)))
    table = read_table(path, id_column=_PATH)
    strange = ~np.isnan(table.values) & ~np.isin(table.values, (1, 0, -1))
    if strange.any():
        row, column = np.argwhere(strange)[0]
        raise TableError(
            f"{path}: the label of {table.ids[row]!r} for {table.findings[column]} is "
            f"{table.values[row, column]:g}: expected 1, 0, -1 (uncertain) or nothing"
        )
    return table


def _target(table: Table, findings: tuple[str, ...], policy: Policy, *, normal: int) -> Floats:
    """Return labels (n_images, n_findings and No Finding), unknown where a column is not there."""
    unknown = np.full(len(table), np.nan)
    columns = [table.column(name) if name in table.findings else unknown for name in findings]
    labels = np.column_stack([*columns, np.full(len(table), float(normal))])
    return apply_policy(labels, policy).astype(np.float64)


def _numbers(path: Path, frame: pl.DataFrame, column: str) -> Floats:
    """Return a column beside the labels as numbers; all NaN if it is not there."""
    if column not in frame.columns:
        return np.full(frame.height, np.nan)
    text = frame[column].str.strip_chars().replace("", None)
    words = _WORDS.get(column)
    if words is None:
        numbers, expected = text.cast(pl.Float64, strict=False), "a number"
        known = numbers.is_finite().fill_null(value=False)
    else:
        numbers = text.replace_strict(words, default=None, return_dtype=pl.Float64)
        known, expected = text.is_in(list(words)), " or ".join(words)
    if (text.is_not_null() & ~known).any():
        row = int((text.is_not_null() & ~known).arg_max() or 0)
        raise TableError(
            f"{path}:{row + 2}:{column}: expected {expected} or an empty cell, got {text[row]!r}"
        )
    return numbers.fill_null(np.nan).to_numpy()


def _vectors(paths: tuple[Path, Path], tables: list[Table]) -> Vectors:
    """Read both files into one array."""
    parts: list[Vectors] = []
    for path, table in zip(paths, tables, strict=True):
        file = path.with_suffix(".hdf5")
        if not file.exists():
            raise TableError(f"{path}: its embeddings are expected beside it, in {file.name}")
        with open_dataset(file, "dataset") as matrix:
            if matrix.ndim != 2 or len(matrix) != len(table):
                raise TableError(
                    f"{file}: expected ({len(table)}, dim), a row for each line of {path.name}, "
                    f"got {matrix.shape}"
                )
            parts.append(matrix[...].astype(np.float32))
        refuse_unusable(parts[-1], table.ids)
    if parts[0].shape[1] != parts[1].shape[1]:
        raise TableError(
            f"the embeddings beside {paths[0]} have {parts[0].shape[1]} numbers each, those beside "
            f"{paths[1]} {parts[1].shape[1]}: are they of one encoder?"
        )
    return np.concatenate(parts)


def _patients(ids: tuple[str, ...], path: Path, people: str | Path | None) -> tuple[str, ...]:
    table = path.parent.parent / "table.csv" if people is None else Path(people)
    if people is not None and not table.exists():
        raise TableError(f"{table}: there is no such table of people")
    found = people_of(ids, table)["patient_id"]
    # without a table, `people_of` makes an image whose path says nothing a patient of its own
    silent = found.is_null() if table.exists() else found == pl.Series(ids)
    if silent.any():
        raise TableError(
            f"{path}: {int(silent.sum())} of {len(ids)} images do not say whose they are, the "
            f"first is {ids[int(silent.arg_max() or 0)]!r}; expected paths with "
            "patient00001/study1/ in them, or a table of people with image_id, patient_id, "
            "study_id and visit"
        )
    return tuple(found)
