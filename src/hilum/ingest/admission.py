"""Rows of a listing enter a collection: once, in order, in batches, and whole.

What a kill can interrupt, and what the next run finds: before the first commit, nothing; between
two commits, a beginning of the listing's rows; while compacting, all rows and a source that is
not marked complete. In each case it does what is left.
"""

from collections import Counter
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, Literal

import polars as pl

from hilum.collection import Collection, open_collection, splits, store
from hilum.collection.readings import write_readings
from hilum.decoding import Decoded
from hilum.ingest.newcomers import compare, source_rows
from hilum.ingest.rows import as_arrow
from hilum.progress import Progress, silent
from hilum.sources import Listing
from hilum.workers import Failure

if TYPE_CHECKING:
    import lance

BATCH_BYTES: Final = 32 << 20  # of pixels in one commit
_TABLE_BATCH: Final = 65_536  # rows in one commit where there are no pixels

Outcome = Decoded | Failure | None
Decode = Callable[[pl.Series], Iterator[Outcome]]
"""Image ids of the listing -> one outcome each, in order; None where there are no pixels."""


def unknown_sizes(images: pl.Series) -> pl.Series:
    """Return what is known of the files of images where there are no pixels: nothing."""
    return pl.Series([None], dtype=pl.Int64).new_from_index(0, images.len())


@dataclass(frozen=True)
class IngestReport:
    """What an ingest did.

    Parameters
    ----------
    collection
        The collection after it.
    source
        The name of the source within the collection.
    added
        Images that are new.
    already
        Images of this source that were there before.
    quarantined
        How many files could not be read, by reason.
    split_by
        ``"image"`` where the source names no patients, so that a split by patient is none.
    notes
        What the reader of the layout wants known.
    """

    collection: Collection
    source: str
    added: int
    already: int
    quarantined: dict[str, int]
    split_by: Literal["patient", "image"]
    notes: tuple[str, ...]


@dataclass
class Admission:
    """One source on its way into a collection, under the collection's lock.

    Parameters
    ----------
    uri
        The collection.
    settings
        Of the collection, or of the one to make.
    listing
        The source's rows.
    name
        Of the source within the collection.
    decode
        Gives what is to be stored of each image.
    file_bytes
        The present sizes of the files of images, by which a changed file is told; null: unknown.
    prefix
        Put before the ids.
    options
        Of the reader, as the collection remembers them.
    batch_rows
        Images in one commit; as many as hold 32 MiB of pixels if None.
    progress
        Told the number of images worked on.
    """

    uri: str
    settings: store.Settings
    listing: Listing
    name: str
    decode: Decode
    file_bytes: Callable[[pl.Series], pl.Series] = unknown_sizes
    prefix: str = ""
    options: dict[str, Any] = field(default_factory=dict)
    batch_rows: int | None = None
    progress: Progress = silent

    def run(self) -> IngestReport:
        """Bring the rows in that are not there.

        Raises
        ------
        ClashError, LeakError
            If the rows contradict the collection or themselves; nothing is written then.
        """
        rows = self._with_splits(source_rows(self.listing, self.name, self.prefix))
        new = self._new_among(rows)
        failures = self._add(new)
        rejected = [
            self._quarantined(r.name, None, Failure(r.reason, r.message))
            for r in self.listing.rejected
        ]
        self._finish(rows.height - len(failures))
        store.write_quarantine(self.uri, self.name, [*failures, *rejected])
        write_readings(self.uri, self.name, self._readings())
        named = bool((rows["patient_id"] != rows["image_id"]).any())
        return IngestReport(
            collection=open_collection(self.uri),
            source=self.name,
            added=new.height - len(failures),
            already=rows.height - new.height,
            quarantined=dict(Counter(str(row["reason"]) for row in [*failures, *rejected])),
            split_by="patient" if named else "image",
            notes=self.listing.notes,
        )

    def _with_splits(self, rows: pl.DataFrame) -> pl.DataFrame:
        people = rows.select("patient_id", "split").unique(maintain_order=True)
        drawn = splits.assign(
            people["patient_id"].to_list(),
            people["split"].to_list(),
            seed=self.settings.seed,
            fractions=self.settings.fractions,
        )
        dealt = people.with_columns(split=pl.Series(drawn, dtype=pl.String)).unique()
        joined = rows.drop("split").join(dealt, on="patient_id", how="left", maintain_order="left")
        return joined.select(rows.columns)

    def _new_among(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Return the rows that are not in the collection; refuse those that contradict it."""
        if not store.exists(self.uri):
            return rows
        there = open_collection(self.uri)
        existing = there.table([c for c in there.columns if c in {*rows.columns, "file_bytes"}])
        sizes = self.file_bytes(self._own_ids(rows))
        bytes_now = rows.select("image_id", bytes_now=sizes)
        compare(existing, rows, self.settings, self.name, self.listing.source, bytes_now)
        return rows.join(existing, on="image_id", how="anti", maintain_order="left")

    def _readings(self) -> pl.DataFrame | None:
        said = self.listing.readings
        image = pl.lit(self.prefix) + pl.col("image_id")
        return None if said is None else said.with_columns(image.alias("image_id"))

    def _own_ids(self, rows: pl.DataFrame) -> pl.Series:
        return rows["image_id"].str.slice(len(self.prefix))

    # ------------------------------------------------------------------ batches

    def _add(self, new: pl.DataFrame) -> list[dict[str, str | None]]:
        """Decode and commit in batches; return a quarantine row for each file that failed.

        One batch is committed, in a thread, while the next is decoded: to wait for the disk and
        the compression would leave the decoders without work a fifth of the time.
        """
        failures: list[dict[str, str | None]] = []
        image = self.settings.image_bytes
        step = self.batch_rows or (max(16, BATCH_BYTES // image) if image else _TABLE_BATCH)

        def commit(batch: pl.DataFrame, outcomes: list[Outcome]) -> None:
            if failed := self._commit(batch, outcomes):
                failures.extend(failed)
                store.write_quarantine(self.uri, self.name, failures)

        with (
            closing(self._counted(self.decode(self._own_ids(new)), new.height)) as outcomes,
            ThreadPoolExecutor(1, "commit") as writer,
        ):
            under_way: Future[None] | None = None
            for start in range(0, new.height, step):
                batch = new[start : start + step]
                decoded = list(islice(outcomes, batch.height))
                if under_way:
                    under_way.result()  # one at a time: memory is bounded, and order is kept
                under_way = writer.submit(commit, batch, decoded)
            if under_way:
                under_way.result()
        return failures

    def _counted(self, outcomes: Iterator[Outcome], total: int) -> Generator[Outcome, None, None]:
        self.progress(0, total)
        for done, outcome in enumerate(outcomes, start=1):
            yield outcome
            self.progress(done, total)

    def _commit(
        self, batch: pl.DataFrame, outcomes: list[Outcome]
    ) -> list[dict[str, str | None]]:  # fmt: skip
        """Commit the rows whose image could be read, and return quarantine rows for the others."""
        failed = [
            self._quarantined(row["image_id"], row["file"], outcome)
            for row, outcome in zip(batch.iter_rows(named=True), outcomes, strict=True)
            if isinstance(outcome, Failure)
        ]
        good = [outcome for outcome in outcomes if not isinstance(outcome, Failure)]
        if good:
            readable = [not isinstance(outcome, Failure) for outcome in outcomes]
            dataset = self._begin()
            rows = batch.filter(pl.Series(readable))
            dataset.insert(as_arrow(rows, good, self.settings), mode="append")
        return failed

    def _quarantined(
        self, image_id: str, file: str | None, failure: Failure
    ) -> dict[str, str | None]:  # fmt: skip
        where = {"image_id": image_id, "source": self.name, "file": file}
        return {**where, "reason": failure.reason, "message": failure.message}

    def _begin(self) -> "lance.LanceDataset":
        """Make the collection ready for rows of this source; does nothing the second time."""
        entry = self._entry(rows=0, complete=False)
        if not store.exists(self.uri):
            self.settings = replace(self.settings.with_source(entry), unfinished_since=0)
            return store.create(self.uri, self.settings)
        dataset = store.open_dataset(self.uri)
        before = store.settings_of(dataset)
        since = dataset.version if before.unfinished_since is None else before.unfinished_since
        findings = tuple(dict.fromkeys((*before.findings, *self.listing.findings)))
        store.add_findings(dataset, findings)
        self.settings = replace(
            before.with_source(entry), findings=findings, unfinished_since=since
        )  # fmt: skip
        store.set_settings(dataset, self.settings)
        return dataset

    # ------------------------------------------------------------------ the end

    def _finish(self, present: int) -> None:
        """Compact, check, mark the source as complete, and forget the steps in between."""
        if not store.exists(self.uri):  # not one file could be read
            store.create(self.uri, self.settings)
        dataset = store.open_dataset(self.uri)
        before = store.settings_of(dataset)
        since = before.unfinished_since
        if since is not None:
            store.compact(dataset, before)
            people = open_collection(self.uri).table(["patient_id", "split"]).unique()
            splits.check_leaks(people["patient_id"], people["split"])
        entry = self._entry(rows=present, complete=True)
        done = all(other.complete for other in before.with_source(entry).sources)
        after = replace(before.with_source(entry), unfinished_since=None if done else since)
        if since is not None and done:  # while the settings say where the steps began
            store.forget_versions(self.uri, (since, dataset.version))
        store.set_settings(dataset, after)
        if since is not None and done:  # the last step: it has no data of its own
            store.forget_versions(self.uri, (since, dataset.version))

    @cached_property
    def _digest(self) -> str:
        return self.listing.digest()

    def _entry(self, *, rows: int, complete: bool) -> store.SourceEntry:
        return store.SourceEntry(
            name=self.name,
            layout=self.listing.source,
            digest=self._digest,
            rows=rows,
            complete=complete,
            options=self.options,
            notes=self.listing.notes,
        )
