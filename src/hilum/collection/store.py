"""The collection on disk: one Lance dataset, its schema, its settings, one writer at a time.

Layout of a collection's folder::

    data/ _versions/ _transactions/    Lance's own
    _quarantine.lance/                 a second, small dataset: files that could not be read
    _readings.lance/                   a third: what single readers said, where several read
    _partial/                          embeddings that are being computed
    _lock                              held (flock) by whoever writes

Lance makes every change a new version, atomically: a reader sees the version that it opened, and
a writer that is killed leaves the last version it committed.
"""

import fcntl
import json
import os
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import lance
import pyarrow as pa

from hilum.collection.splits import DEFAULT_FRACTIONS, Fractions
from hilum.errors import CollectionError

FORMAT: Final = 1
KEY: Final = "hilum"  # of the settings in the dataset's metadata, and of an embedding's in its own
FRAGMENT_BYTES: Final = 1 << 30  # of unpacked pixels in one data file after compaction

_GEOMETRY: Final = pa.struct(
    [(name, pa.int32()) for name in
     ("width", "height", "size", "left", "top", "content_width", "content_height")]
)  # fmt: skip
_BOXES: Final = pa.list_(
    pa.struct([("finding", pa.string()), *((name, pa.float32()) for name in "xywh")])
)
BEFORE_FINDINGS: Final = {
    "image_id": pa.string(),
    "patient_id": pa.string(),
    "study_id": pa.string(),
    "visit": pa.int32(),
    "view": pa.string(),
    "age": pa.float32(),
    "sex": pa.string(),
    "split": pa.string(),
    "source": pa.string(),
    "file": pa.string(),
    "file_bytes": pa.int64(),
    "sha256": pa.string(),
}
AFTER_FINDINGS: Final = {
    "boxes": _BOXES,
    "report_findings": pa.string(),
    "report_impression": pa.string(),
    "geometry": _GEOMETRY,
    "pixels": pa.large_binary(),
}
FIXED_COLUMNS: Final = (*BEFORE_FINDINGS, *AFTER_FINDINGS)


@dataclass(frozen=True)
class SourceEntry:
    """One source of a collection, as its metadata remembers it.

    Parameters
    ----------
    name
        What the `source` column says.
    layout
        The reader that listed it.
    digest
        SHA-256 of the listing.
    rows
        How many images of it are in the collection, once it is complete.
    complete
        False while it is coming in, or after it was interrupted.
    options
        The reader's options, without secrets.
    notes
        What the reader said about it.
    """

    name: str
    layout: str
    digest: str
    rows: int
    complete: bool
    options: dict[str, Any]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Settings:
    """What is true of a whole collection; JSON under ``hilum`` in the dataset's metadata.

    Parameters
    ----------
    findings
        Names of the label columns, in order.
    size
        Side of the stored images in pixels; 0 where the collection holds the table alone.
    resize
        How images were resized (`hilum.images.Resize`).
    seed, fractions
        How patients are drawn into splits where the source has none.
    sources
        In the order of their first ingest.
    unfinished_since
        While an ingest is running, or after it was killed: the version before it; else None.
    format
        Version of this layout.
    channels
        1: grey. 3: red, green and blue.
    """

    findings: tuple[str, ...]
    size: int
    resize: str
    seed: int = 0
    fractions: Fractions = Fractions(*DEFAULT_FRACTIONS)  # noqa: RUF009 (immutable)
    sources: tuple[SourceEntry, ...] = ()
    unfinished_since: int | None = None
    format: int = FORMAT
    channels: int = 1

    @property
    def image_shape(self) -> tuple[int, ...]:
        """Of one stored image: (size, size), or (size, size, 3) in colour."""
        return (self.size, self.size) if self.channels == 1 else (self.size, self.size, 3)

    @property
    def image_bytes(self) -> int:
        """Of one stored image, unpacked."""
        return self.size**2 * self.channels

    def source(self, name: str) -> SourceEntry | None:
        """Return the source of this name, if there is one."""
        return next((entry for entry in self.sources if entry.name == name), None)

    def with_source(self, entry: SourceEntry) -> "Settings":
        """Return settings in which `entry` has replaced the source of its name, or come last."""
        known = {other.name: other for other in self.sources}
        return replace(self, sources=tuple({**known, entry.name: entry}.values()))

    def to_json(self) -> str:
        """Write as JSON."""
        return json.dumps(asdict(self), sort_keys=True)

    @classmethod
    def from_json(cls, text: str, uri: str) -> "Settings":
        """Read what `to_json` wrote.

        Raises
        ------
        CollectionError
            If it is of a newer format, or not such settings.
        """
        try:
            data = json.loads(text)
            if data["format"] != FORMAT:
                raise CollectionError(
                    f"{uri}: is a collection of format {data['format']}, this hilum reads "
                    f"format {FORMAT}; install the version of hilum that wrote it"
                )
            entries = [{**e, "notes": tuple(e["notes"])} for e in data["sources"]]
            tuples = {
                "findings": tuple(data["findings"]),
                "fractions": Fractions(*data["fractions"]),
                "sources": tuple(SourceEntry(**entry) for entry in entries),
            }
            return cls(**{**data, **tuples})
        except (KeyError, TypeError, ValueError) as error:
            raise CollectionError(f"{uri}: the settings of the collection are broken: {error!r}; "
                                  "ingest it again") from error  # fmt: skip


def schema(settings: Settings) -> pa.Schema:
    """Return the columns of a new collection; only ids, split and source are never null."""
    labels = dict.fromkeys(settings.findings, pa.int8())
    required = {"image_id", "patient_id", "study_id", "visit", "split", "source"}
    fields = [
        pa.field(name, kind, nullable=name not in required)
        for name, kind in {**BEFORE_FINDINGS, **labels, **AFTER_FINDINGS}.items()
    ]
    return pa.schema(fields, metadata={KEY: settings.to_json()})


# --------------------------------------------------------------------------- opening


def open_dataset(uri: str, version: int | None = None) -> "lance.LanceDataset":
    """Open a collection's dataset.

    Raises
    ------
    CollectionError
        If there is none, it is not a collection, or it has no such version.
    """
    try:
        dataset = lance.dataset(uri, version=version)
    except (ValueError, OSError) as error:
        wanted = f"version {version} of a collection" if version else "a collection"
        raise CollectionError(
            f"{uri}: there is not {wanted} here; make one with: hilum ingest SOURCE {uri}"
        ) from error
    if KEY.encode() not in (dataset.schema.metadata or {}):
        raise CollectionError(f"{uri}: is a Lance dataset but not a collection of hilum")
    return dataset


def open_if_there(uri: str) -> "lance.LanceDataset | None":
    """Open any Lance dataset, or return None where there is none."""
    try:
        return lance.dataset(uri)
    except (ValueError, OSError):
        return None


def settings_of(dataset: "lance.LanceDataset") -> Settings:
    """Return the settings of an open dataset."""
    return Settings.from_json(dataset.schema.metadata[KEY.encode()].decode(), dataset.uri)


def exists(uri: str) -> bool:
    """Say if there is a dataset at `uri`.

    Raises
    ------
    CollectionError
        If a local folder is there that holds something else: nothing is ever mixed into it.
    """
    if not is_local(uri):
        return open_if_there(uri) is not None
    folder = Path(uri)
    if (folder / "_versions").is_dir() and any((folder / "_versions").iterdir()):
        return True
    ours = {"_lock", "_quarantine.lance", "_readings.lance", "_versions", "data", "_transactions"}
    if folder.exists() and not (folder.is_dir() and {p.name for p in folder.iterdir()} <= ours):
        raise CollectionError(f"{uri}: exists and is not a collection; choose a new path")
    return False


def create(uri: str, settings: Settings) -> "lance.LanceDataset":
    """Make an empty collection."""
    return lance.write_dataset(schema(settings).empty_table(), uri)


def set_settings(dataset: "lance.LanceDataset", settings: Settings) -> None:
    """Commit new settings, if they differ from the old."""
    if settings != settings_of(dataset):
        dataset.update_schema_metadata({KEY: settings.to_json()})


def add_findings(dataset: "lance.LanceDataset", findings: Sequence[str]) -> None:
    """Add label columns, unknown for every image that is there; no data is written."""
    there = set(dataset.schema.names)  # a killed ingest may have added them already
    new = [pa.field(name, pa.int8()) for name in findings if name not in there]
    if new:
        dataset.add_columns(new)


def is_local(uri: str) -> bool:
    """Say if `uri` is a path, not the address of an object store."""
    return "://" not in uri


# --------------------------------------------------------------------------- one writer


@contextmanager
def writer(uri: str) -> Iterator[None]:
    """Hold the collection's lock: one process writes at a time, any number read.

    The system lets go of the lock when its holder dies, however it dies. Object stores have no
    such lock: there, the caller sees to it that one job writes.

    Raises
    ------
    CollectionError
        If another process holds it, which the message names, or a folder of others is there.
    """
    if not is_local(uri):
        yield
        return
    exists(uri)  # refuses a folder that holds something else
    Path(uri).mkdir(parents=True, exist_ok=True)
    with (Path(uri) / "_lock").open("a+", encoding="utf-8") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            raise CollectionError(
                f"{uri}: another process is writing to this collection "
                f"({lock.read().strip() or 'just started'}); wait for it, or stop it"
            ) from None
        lock.truncate(0)
        lock.write(f"process {os.getpid()} on {socket.gethostname()}")
        lock.flush()
        yield


# --------------------------------------------------------------------------- tidying


def compact(dataset: "lance.LanceDataset", settings: Settings) -> None:
    """Merge the many small files of an ingest, in order, and drop columns nobody refers to."""
    image = max(1, settings.image_bytes)
    dataset.optimize.compact_files(
        target_rows_per_fragment=max(1024, min(1 << 20, FRAGMENT_BYTES // image)),
        batch_size=max(16, min(8192, (64 << 20) // image)),
        compaction_mode="try_binary_copy",
    )


def forget_versions(uri: str, between: tuple[int, int] | None = None) -> None:
    """Delete versions that nobody should need, and data files of writers that were killed.

    Parameters
    ----------
    uri
        The collection; the caller holds its lock.
    between
        Versions after the first and before the second number: the steps of one ingest. The
        version before the ingest stays, so those who were reading it read on. Versions older
        than two weeks go in any case.
    """
    dataset = lance.dataset(uri)
    numbers = [entry["version"] for entry in dataset.versions()]
    if between and (steps := [n for n in numbers if between[0] < n < between[1]]):
        dataset.cleanup_old_versions(versions=steps, delete_unverified=is_local(uri))
    dataset.cleanup_old_versions(older_than=timedelta(days=14), delete_unverified=is_local(uri))


# --------------------------------------------------------------------------- quarantine

QUARANTINE: Final = pa.schema(
    [
        pa.field("image_id", pa.string(), nullable=False),
        pa.field("source", pa.string(), nullable=False),
        pa.field("file", pa.string()),
        pa.field("reason", pa.string(), nullable=False),
        pa.field("message", pa.string(), nullable=False),
    ]
)


def read_quarantine(uri: str) -> pa.Table:
    """Return the files that could not be read, one row each (`QUARANTINE`)."""
    dataset = open_if_there(f"{uri}/_quarantine.lance")
    return QUARANTINE.empty_table() if dataset is None else dataset.to_table()


def write_quarantine(uri: str, source: str, rows: Sequence[dict[str, str | None]]) -> None:
    """Replace one source's rows; nothing is written if they are the same."""
    before = read_quarantine(uri)
    others = [row for row in before.to_pylist() if row["source"] != source]
    after = pa.Table.from_pylist([*others, *rows], schema=QUARANTINE)
    if after.equals(before):
        return
    path = f"{uri}/_quarantine.lance"
    new = open_if_there(path) is None
    lance.write_dataset(after, path, mode="create" if new else "overwrite")
    lance.dataset(path).cleanup_old_versions(retain_versions=1, delete_unverified=is_local(uri))
