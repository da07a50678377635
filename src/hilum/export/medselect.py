"""MedSelect's files: labels as CSV, embeddings as HDF5, positives and no-finding apart.

Layout (Smit, Vrabac, He, Ng, Beam, Rajpurkar, arXiv:2103.14339, and the released code)::

    meta_train/ meta_val/ meta_tst/           train, val, test
        positives.csv    positives.hdf5       images with at least one condition
        no_findings.csv  no_findings.hdf5     images that are positive for No Finding
    table.csv                                 not MedSelect's: `export_table`, for the way back

CSV columns: Path, one per condition (1, 0 or empty), Sex (Male, Female), Age, Frontal/Lateral. The
HDF5 has one dataset, `dataset`, (n, dim) float32; row i belongs to row i of the CSV. Images with
neither a condition nor No Finding are in no file.
"""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Final

import h5py
import numpy as np
import polars as pl

from hilum.collection import Collection, EmbeddingInfo, store
from hilum.collection.vectors import Batch, Vectors
from hilum.errors import CollectionError, TableError
from hilum.export.hdf5 import open_dataset
from hilum.export.table import as_listing, export_table, people_of, read_csv, write_csv
from hilum.files import replacing
from hilum.findings import Policy, apply_policy, canonical
from hilum.ingest.admission import Admission, IngestReport
from hilum.ingest.folder import Wanted

NO_FINDING: Final = "No Finding"
FOLDERS: Final = {"train": "meta_train", "val": "meta_val", "test": "meta_tst"}
_KINDS: Final = ("positives", "no_findings")
_SEX: Final = {"F": "Female", "M": "Male"}
_LATERALITY: Final = {"PA": "Frontal", "AP": "Frontal", "LATERAL": "Lateral"}


def export_medselect(
    collection: Collection, folder: str | Path, embedding: str, policy: Policy = "positive"
) -> Path:
    """Write a view's labels and one embedding as MedSelect reads them.

    Parameters
    ----------
    collection
        A view; every image of it needs a vector.
    folder
        Where the three folders go.
    embedding
        Its name.
    policy
        What an uncertain label becomes. MedSelect's code counts only 1.0 as positive and expects
        uncertain ones to be 1 already, which ``"positive"`` does.

    Raises
    ------
    CollectionError
        If there is no No Finding column or no such embedding, or images have no vector.
    """
    folder = Path(folder)
    if NO_FINDING not in collection.findings:
        raise CollectionError(
            f"{collection.uri}: has no label {NO_FINDING!r}, which MedSelect's negatives are; "
            f"there are {', '.join(collection.findings)}"
        )
    ids, vectors = collection.vectors(embedding)
    frame = _conditions(collection, policy)
    assert tuple(frame["Path"]) == ids  # both in row order
    conditions = [name for name in collection.findings if name != NO_FINDING]
    positive = pl.any_horizontal(pl.col(conditions) == 1).fill_null(value=False)
    normal = (pl.col(NO_FINDING) == 1).fill_null(value=False)
    for split, name in FOLDERS.items():
        here = pl.col("split") == split
        _write_pair(folder / name / "positives.csv", frame, here & positive, vectors)
        _write_pair(folder / name / "no_findings.csv", frame, here & normal & ~positive, vectors)
    export_table(collection, folder / "table.csv")
    return folder


def _conditions(collection: Collection, policy: Policy) -> pl.DataFrame:
    findings = list(collection.findings)
    frame = collection.table(["image_id", "split", *findings, "sex", "age", "view"])
    labels = apply_policy(frame.select(pl.col(findings).cast(pl.Float32)).to_numpy(), policy)
    columns = [
        pl.Series(finding, labels[:, at]).fill_nan(None).cast(pl.Int8)
        for at, finding in enumerate(findings)
    ]
    return frame.select(
        pl.col("image_id").alias("Path"),
        *columns,
        pl.col("sex").replace(_SEX).alias("Sex"),
        pl.col("age").alias("Age"),
        pl.col("view").replace(_LATERALITY).alias("Frontal/Lateral"),
        "split",
    )


def _write_pair(path: Path, frame: pl.DataFrame, keep: pl.Expr, vectors: Vectors) -> None:
    mask = frame.select(keep).to_series().to_numpy()
    write_csv(frame.filter(pl.Series(mask)).drop("split"), path)
    with (
        replacing(path.with_suffix(".hdf5")) as temporary,
        h5py.File(temporary, "w") as file,
    ):
        file.create_dataset("dataset", data=vectors[mask])


# --------------------------------------------------------------------------- and back


def import_medselect(
    folder: str | Path,
    uri: str | Path,
    *,
    embedding: str = "medselect",
    name: str | None = None,
    prefix: str = "",
) -> IngestReport:
    """Bring MedSelect's files into a collection without pixels, with their embedding.

    Parameters
    ----------
    folder
        With some of ``meta_train``, ``meta_val`` and ``meta_tst``, and perhaps ``table.csv``;
        without that, patients are read from paths as CheXpert writes them.
    uri
        The collection.
    embedding
        The name of the embedding there. Its fingerprint is that of the HDF5 files.
    name, prefix
        As for `hilum.ingest`.

    Raises
    ------
    TableError
        If the files do not fit each other or are something else.
    ClashError, LeakError, CollectionError
        As for `hilum.ingest`.
    """
    folder = Path(folder).resolve()
    parts = [
        (folder / sub / f"{kind}.csv", split)
        for split, sub in FOLDERS.items()
        for kind in _KINDS
        if (folder / sub / f"{kind}.csv").exists()
    ]
    if not parts:
        raise TableError(f"{folder}: expected {', '.join(FOLDERS.values())} with positives.csv "
                         "or no_findings.csv in them")  # fmt: skip
    frame = pl.concat([_read_labels(path, split) for path, split in parts], how="diagonal")
    people = people_of(frame["image_id"].to_list(), folder / "table.csv")
    told = [
        c for c in people.columns if c in store.FIXED_COLUMNS and c not in ("image_id", "split")
    ]
    frame = pl.concat([frame.drop(told, strict=False), people.select(told)], how="horizontal")
    listing = as_listing(frame, "medselect", folder)
    with store.writer(str(uri)):
        report = Admission(
            uri=str(uri),
            settings=Wanted(pixels=False).settings(str(uri), listing.findings),
            listing=listing,
            name=name or folder.name,
            decode=lambda images: (None for _ in images),
            prefix=prefix,
        ).run()
    batches, info = _embeddings([path for path, _ in parts], prefix)
    collection = report.collection
    ids = collection.ids()
    without = {ids[row] for row in collection.without_vector(embedding, info)}
    if without & {prefix + image for image in frame["image_id"]}:
        collection = collection.add_embedding(embedding, batches, info)
    return replace(report, collection=collection)


def _read_labels(path: Path, split: str) -> pl.DataFrame:
    frame = read_csv(path, ["Path"])
    findings = [column for column in frame.columns if canonical(column)]
    text: dict[str, tuple[str, dict[str, str | None]]] = {
        "sex": ("Sex", {theirs: ours for ours, theirs in _SEX.items()}),
        "view": ("Frontal/Lateral", {"Lateral": "LATERAL", "Frontal": None}),
    }
    return frame.select(
        pl.col("Path").alias("image_id"),
        *(_label(path, frame, column) for column in findings),
        *(
            pl.col(theirs).replace_strict(values, default=None).alias(ours)
            for ours, (theirs, values) in text.items()
            if theirs in frame.columns
        ),
        *([pl.col("Age").cast(pl.Float32).alias("age")] if "Age" in frame.columns else []),
        pl.lit(split).alias("split"),
    )


def _label(path: Path, frame: pl.DataFrame, column: str) -> pl.Series:
    values = frame[column].cast(pl.Float64, strict=False)
    strange = frame[column].is_not_null() & ~values.is_in([-1.0, 0.0, 1.0]).fill_null(value=False)
    if strange.any():
        line = int(strange.arg_max() or 0)
        raise TableError(
            f"{path}:{line + 2}:{column}: expected 1, 0, -1 or an empty cell, "
            f"got {frame[column][line]!r}"
        )
    return values.cast(pl.Int8).alias(canonical(column) or column)


def _embeddings(paths: list[Path], prefix: str) -> tuple[Iterator[Batch], EmbeddingInfo]:
    digest = hashlib.sha256()
    dims = set()
    for path in paths:
        with _matrix(path) as matrix:
            dims.add(matrix.shape[1])
        digest.update(path.with_suffix(".hdf5").read_bytes())
    if len(dims) != 1:
        raise TableError(f"{paths[0].parent.parent}: the embeddings have different lengths: "
                         f"{', '.join(map(str, sorted(dims)))}")  # fmt: skip
    info = EmbeddingInfo(dims.pop(), digest.hexdigest(), "MedSelect's HDF5 files")
    return _batches(paths, prefix), info


def _batches(paths: list[Path], prefix: str) -> Iterator[Batch]:
    for path in paths:
        images = [prefix + image for image in read_csv(path, ["Path"])["Path"]]
        with _matrix(path) as matrix:
            for start in range(0, len(images), 4096):
                yield (
                    images[start : start + 4096],
                    np.asarray(matrix[start : start + 4096], dtype=np.float32),
                )


@contextmanager
def _matrix(path: Path) -> Iterator[h5py.Dataset]:
    rows = read_csv(path, ["Path"]).height
    with open_dataset(path.with_suffix(".hdf5"), "dataset") as matrix:
        if matrix.ndim != 2 or matrix.shape[0] != rows:
            raise TableError(
                f"{path.with_suffix('.hdf5')}: expected ({rows}, dim), a row for each line of "
                f"{path.name}, got {matrix.shape}"
            )
        yield matrix
