"""A folder of radiographs enters a collection: decode in parallel, commit in batches, lose nothing.

Rows enter in the order of the source's listing, whatever the number of workers, so a run that was
killed and continued ends with the same table as one that was not. A file that cannot be read goes
into quarantine with its reason, and is tried again at the next run.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain, islice, repeat
from pathlib import Path
from typing import Any, Final, cast, get_args

import polars as pl

from hilum.cluster import Engine, check_engine, map_in_order
from hilum.collection import splits, store
from hilum.decoding import Task, decode
from hilum.errors import CollectionError, UsageError
from hilum.images import Channels, Resize
from hilum.ingest.admission import Admission, IngestReport, Outcome, unknown_sizes
from hilum.progress import Progress, silent
from hilum.sources import Listing, SourceOptions, read_source
from hilum.workers import Limits, processors, run_in_order

DEFAULT_SIZE: Final = 320
LARGEST_SIZE: Final = 4096
_CHUNK: Final = 64  # files that a machine of a cluster is given at once
_NOT_REMEMBERED: Final = {"pixels", "progress", "workers", "key_file"}


def ingest(
    source: str | Path,
    uri: str | Path,
    *,
    layout: str,
    size: int | None = None,
    resize: Resize | None = None,
    channels: Channels | None = None,
    pixels: bool = True,
    options: SourceOptions | None = None,
    name: str | None = None,
    prefix: str = "",
    fractions: Sequence[float] | None = None,
    seed: int | None = None,
    workers: int | None = None,
    engine: Engine = "local",
    batch_rows: int | None = None,
    limits: Limits = Limits(),  # noqa: B008 (immutable)
    progress: Progress = silent,
) -> IngestReport:
    """Bring a source into a collection, which is made if it is not there.

    May be killed at any moment: what was committed stays, and the same call continues. Called
    again on an unchanged source it changes nothing. Memory of this process is bounded by the
    table, six times one batch (32 MiB of pixels) and 32 decoded images for each worker, whatever
    the number of images: under 0.5 GB in all at 320 px; that of a worker by `limits`.

    Parameters
    ----------
    source
        A folder in one of the layouts.
    uri
        The collection.
    layout
        A key of `hilum.sources.SOURCES`.
    size
        Side of the stored images in pixels, 1 to 4096; 320 for a new collection, and that of the
        collection otherwise.
    resize
        How images become that size (`hilum.images.read_picture`); ``"area"`` for a new one.
    channels
        1: grey, 3: colour; those of the collection, or for a new one of the source, if None.
        Grey images in a collection in colour have three equal channels. A source in colour comes
        into a grey collection only where 1 is asked for.
    pixels
        False brings in the table alone.
    options
        For the reader of the layout.
    name
        Of the source within the collection; the folder's name if None. The same name means the
        same source, perhaps grown.
    prefix
        Put before image, patient and study ids, for a second source that uses the same ones.
    fractions, seed
        How patients are drawn into train, val and test where the source does not say
        (`hilum.collection.splits.assign`); 0.8, 0.1, 0.1 and 0 for a new collection.
    workers
        Processes that decode; one for each processor if None.
    engine
        ``"local"``: this machine decodes. ``"ray"``: the machines of a Ray cluster, which see the
        source under the same path (`hilum.cluster`); rows are the same.
    batch_rows
        Images in one commit; as many as hold 32 MiB of pixels if None. A kill loses at most the
        work on one batch.
    limits
        What decoding one file may use.
    progress
        Told the number of images worked on.

    Raises
    ------
    UsageError
        If an argument cannot be used.
    SourceError
        If the folder is not in the layout.
    ClashError
        If image or patient ids are those of another source, or images of this source have changed.
    LeakError
        If the source's own split has a patient on two sides.
    CollectionError
        If the collection was made with other settings, or another process is writing to it.
    """
    wanted = Wanted(size, resize, pixels, fractions, seed, channels)
    if (workers is not None and workers < 1) or (batch_rows is not None and batch_rows < 1):
        raise UsageError("workers and batch_rows must be at least 1")
    check_engine(engine)
    options = replace(options or SourceOptions(), pixels=pixels)
    listing = read_source(source, layout, options)
    with store.writer(str(uri)):
        settings = wanted.settings(str(uri), listing.findings, listing.channels)
        films = _Films(listing, settings, workers, limits, engine)
        return Admission(
            uri=str(uri),
            settings=settings,
            listing=listing,
            name=name or Path(source).resolve().name,
            decode=films.decode if pixels else _nothing,
            file_bytes=films.file_bytes if pixels else unknown_sizes,
            prefix=prefix,
            options=_remembered(options),
            batch_rows=batch_rows,
            progress=progress,
        ).run()


@dataclass(frozen=True)
class Wanted:
    """What a caller asks of a collection; None where the collection, or the default, decides.

    Parameters
    ----------
    size, resize, pixels, fractions, seed, channels
        As for `ingest`.

    Raises
    ------
    UsageError
        If one of them cannot be used.
    """

    size: int | None = None
    resize: Resize | None = None
    pixels: bool = True
    fractions: Sequence[float] | None = None
    seed: int | None = None
    channels: Channels | None = None

    def __post_init__(self) -> None:
        if self.size is not None and not 1 <= self.size <= LARGEST_SIZE:
            raise UsageError(f"size must be 1 to {LARGEST_SIZE} pixels, got {self.size}")
        if self.resize is not None and self.resize not in get_args(Resize):
            raise UsageError(
                f"{self.resize!r} is not a way to resize; choose from {', '.join(get_args(Resize))}"
            )
        if self.channels not in (None, *get_args(Channels)):
            raise UsageError(f"images have 1 channel (grey) or 3 (colour), not {self.channels}")
        if self.fractions is not None:
            splits.check_fractions(self.fractions)

    def settings(
        self, uri: str, findings: tuple[str, ...], channels: Channels = 1
    ) -> store.Settings:
        """Return the settings of the collection at `uri`, or those of the one to make there.

        Parameters
        ----------
        uri
            The collection.
        findings, channels
            Of the source.

        Raises
        ------
        CollectionError
            If the collection has other settings; the message says both.
        """
        if store.exists(uri):
            there = store.settings_of(store.open_dataset(uri))
            self._compare(uri, there)
            if self.pixels and self.channels is None and channels > there.channels:
                raise CollectionError(
                    f"{uri}: the collection holds grey images and this source has colour; give "
                    "--channels 1 to make them grey, or make a new collection"
                )
            return there
        return store.Settings(
            findings=findings,
            size=(self.size or DEFAULT_SIZE) if self.pixels else 0,
            resize=(self.resize or "area") if self.pixels else "",
            channels=(self.channels or channels) if self.pixels else 1,
            seed=self.seed or 0,
            fractions=splits.check_fractions(self.fractions or splits.DEFAULT_FRACTIONS),
        )

    def _compare(self, uri: str, there: store.Settings) -> None:
        if self.pixels != bool(there.size):
            says = ("has no pixels, this ingest brings some; give --no-pixels", "has pixels, this "
                    "ingest brings none; leave --no-pixels out")  # fmt: skip
            raise CollectionError(f"{uri}: the collection {says[bool(there.size)]}, "
                                  "or make a new collection")  # fmt: skip
        pairs: dict[str, tuple[Any, Any]] = {
            "size": (there.size, self.size if self.pixels else None),
            "resize": (there.resize, self.resize if self.pixels else None),
            "channels": (there.channels, self.channels if self.pixels else None),
            "seed": (there.seed, self.seed),
            "fractions": (there.fractions, self.fractions and tuple(self.fractions)),
        }
        for what, (old, new) in pairs.items():
            if new is not None and new != old:
                raise CollectionError(
                    f"{uri}: the collection was made with {what} {_shown(old)}, this ingest asks "
                    f"for {what} {_shown(new)}; leave the option out, or make a new collection"
                )


def _shown(value: Any) -> str:
    return ",".join(f"{part:g}" for part in value) if isinstance(value, tuple) else str(value)


@dataclass(frozen=True)
class _Films:
    """The image files of a listing."""

    listing: Listing
    settings: store.Settings
    workers: int | None
    limits: Limits
    engine: Engine = "local"

    def decode(self, images: pl.Series) -> Iterator[Outcome]:
        resize = cast(Resize, self.settings.resize)
        channels = cast(Channels, self.settings.channels)
        files = self.listing.paths(images)
        tasks = (Task(file, self.settings.size, resize, channels) for file in files)
        if self.engine == "ray":
            make = partial(_decoder, self.limits)
            chunks = _batched(tasks, _CHUNK)
            return chain.from_iterable(map_in_order(make, chunks, workers=self.workers))
        processes = min(self.workers or processors(), max(1, len(images)))
        return run_in_order(decode, tasks, processes=processes, limits=self.limits)

    def file_bytes(self, images: pl.Series) -> pl.Series:
        files = self.listing.paths(images)
        sizes = (file.stat().st_size if file.exists() else None for file in files)
        return pl.Series(sizes, dtype=pl.Int64)


def _decoder(limits: Limits) -> Callable[[Sequence[Task]], list[Outcome]]:
    """Return what a worker of a cluster does: decode files in a process beside it that may die."""

    def decode_all(tasks: Sequence[Task]) -> list[Outcome]:
        return list(run_in_order(decode, tasks, processes=1, limits=limits))

    return decode_all


def _batched(tasks: Iterable[Task], size: int) -> Iterator[list[Task]]:
    """Yield lists of `size` tasks; the last may be shorter."""
    tasks = iter(tasks)
    while some := list(islice(tasks, size)):
        yield some


def _nothing(images: pl.Series) -> Iterator[Outcome]:
    return repeat(None, images.len())


def _remembered(options: SourceOptions) -> dict[str, Any]:
    """Return the options that say what the rows mean, as JSON; never the key of the pseudonyms."""
    plain = SourceOptions()
    changed = {
        name: value
        for name, value in vars(options).items()
        if name not in _NOT_REMEMBERED and value != getattr(plain, name)
    }
    return {name: _as_json(value) for name, value in changed.items()}


def _as_json(value: object) -> object:
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, tuple):
        return list(value)
    return str(value) if isinstance(value, Path) else value
