"""What is in a collection, in numbers: the data behind ``hilum show``."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import polars as pl

from hilum.collection.readings import read_readings
from hilum.collection.splits import SPLITS
from hilum.collection.store import is_local
from hilum.collection.view import Collection

_BANDS = {"1": (1, 1), "2": (2, 2), "3-5": (3, 5), "6-10": (6, 10), "11+": (11, 1 << 31)}
_VALUES = {"present": 1, "absent": 0, "uncertain": -1}


def summarise(collection: Collection) -> dict[str, Any]:
    """Count what a view holds, as a document for JSON.

    Returns
    -------
    ``images``, ``patients``, ``studies``; ``splits``, ``views``, ``sex``: images by value
    (``unknown`` where null); ``age`` in years; ``visits``; ``findings``: per finding and split (and
    ``all``) the images that are present, absent, uncertain and unknown; ``boxes`` per finding;
    ``reports``; ``readers``: images that each read, where several did; ``embeddings``;
    ``quarantine`` by reason; ``sources``; ``storage`` in bytes; ``complete``: false while a source
    is coming in, or was interrupted.
    """
    frame = collection.table()
    settings = collection.settings
    return {
        "uri": collection.uri,
        "version": collection.version,
        "complete": settings.unfinished_since is None,
        "size": settings.size,
        "resize": settings.resize,
        "channels": settings.channels,
        "images": frame.height,
        "patients": frame["patient_id"].n_unique(),
        "studies": frame["study_id"].n_unique(),
        "splits": _splits(frame),
        "views": _counts(frame["view"]),
        "sex": _counts(frame["sex"]),
        "age": _ages(frame["age"]),
        "visits": _visits(frame),
        "findings": {name: _labels(frame, name) for name in collection.findings},
        "boxes": _counts(collection.boxes()["finding"]),
        "reports": int(_has_report(frame).sum()),
        "readers": _counts(read_readings(collection)["reader"]),
        "embeddings": _embeddings(collection),
        "quarantine": _counts(collection.quarantine()["reason"]),
        "sources": [
            {**vars(entry), "notes": list(entry.notes)} for entry in collection.sources
        ],
        "storage": _storage(collection),
    }  # fmt: skip


def _counts(column: pl.Series) -> dict[str, int]:
    """Count values, the most frequent first."""
    named = column.cast(pl.String).fill_null("unknown").rename("value")
    counts = named.value_counts().sort(["count", "value"], descending=[True, False])
    return dict(counts.iter_rows())


def _splits(frame: pl.DataFrame) -> dict[str, dict[str, int]]:
    parts = {split: frame.filter(pl.col("split") == split) for split in SPLITS}
    return {
        split: {"images": part.height, "patients": part["patient_id"].n_unique()}
        for split, part in parts.items()
    }


def _ages(ages: pl.Series) -> dict[str, float | int | None]:
    known = ages.drop_nulls().to_numpy()
    unknown = ages.null_count()
    if not known.size:
        return {"min": None, "median": None, "max": None, "unknown": unknown}
    middle = pl.Series(known).median()
    assert isinstance(middle, float)
    return {
        "min": float(known.min()),
        "median": middle,
        "max": float(known.max()),
        "unknown": unknown,
    }


def _visits(frame: pl.DataFrame) -> dict[str, Any]:
    """Count patients by their number of visits, and images that come after an earlier visit."""
    per_patient = frame.group_by("patient_id").agg(visits=pl.col("visit").n_unique())
    visits = per_patient["visits"]
    counts = {band: int(visits.is_between(low, high).sum()) for band, (low, high) in _BANDS.items()}
    later = frame.filter(pl.col("visit") > pl.col("visit").min().over("patient_id"))
    return {
        "patients": {band: count for band, count in counts.items() if count},
        "images_with_earlier_visit": later.height,
    }


def _labels(frame: pl.DataFrame, finding: str) -> dict[str, dict[str, int]]:
    counted = frame.group_by("split").agg(
        *(pl.col(finding).eq(value).sum().alias(what) for what, value in _VALUES.items()),
        unknown=pl.col(finding).is_null().sum(),
    )
    by_split = {str(row.pop("split")): row for row in counted.iter_rows(named=True)}
    kinds = (*_VALUES, "unknown")
    total = {kind: sum(row[kind] for row in by_split.values()) for kind in kinds}
    empty = dict.fromkeys(kinds, 0)
    return {"all": total, **{split: by_split.get(split, empty) for split in SPLITS}}


def _has_report(frame: pl.DataFrame) -> pl.Series:
    sections = pl.any_horizontal(
        pl.col("report_findings").is_not_null(), pl.col("report_impression").is_not_null()
    )
    return frame.select(sections).to_series()


def _embeddings(collection: Collection) -> dict[str, dict[str, Any]]:
    return {
        name: {**vars(info), "missing": len(collection) - collection.count_vectors(name)}
        for name, info in collection.embeddings.items()
    }


def _storage(collection: Collection) -> dict[str, int | None]:
    """Measure the folder; all versions count. Unknown for an object store."""
    if not is_local(collection.uri):
        return {"bytes": None, "bytes_per_image": None}
    files = (path for path in Path(collection.uri).rglob("*") if path.is_file())
    total = sum(path.stat().st_size for path in files)
    rows = sum(entry.rows for entry in collection.sources)
    return {"bytes": total, "bytes_per_image": round(total / rows) if rows else None}


# --------------------------------------------------------------------------- for people


def as_text(summary: Mapping[str, Any]) -> str:
    """Lay a summary out for a person, at most 100 characters wide."""
    return "\n".join([*_heading(summary), "", *_finding_table(summary), "", *_rest(summary)])


def _heading(s: Mapping[str, Any]) -> list[str]:
    kind = "pixels" if s["channels"] == 1 else "pixels in colour"
    stored = f"{s['size']} × {s['size']} {kind} ({s['resize']})" if s["size"] else "table only"
    age = s["age"]
    years = "unknown" if age["median"] is None else (
        f"{age['min']:.0f} to {age['max']:.0f}, median {age['median']:.0f}"
    )  # fmt: skip
    unfinished = [] if s["complete"] else ["INCOMPLETE  an ingest is running or was interrupted; "
                                           "run it again to finish"]  # fmt: skip
    return [
        f"{s['uri']} (version {s['version']}, {stored})",
        *unfinished,
        f"images    {s['images']:,} in {s['studies']:,} studies of {s['patients']:,} patients",
        "splits    " + _joined({k: v["images"] for k, v in s["splits"].items()}),
        f"views     {_joined(s['views'])}",
        f"sex       {_joined(s['sex'])}",
        f"age       {years}" + (f" ({age['unknown']:,} unknown)" if age["unknown"] else ""),
        f"visits    {_joined(s['visits']['patients'])} (visits: patients); "
        f"{s['visits']['images_with_earlier_visit']:,} images with an earlier visit",
    ]


def _joined(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in counts.items()) or "none"


def _finding_table(s: Mapping[str, Any]) -> list[str]:
    """One line per finding: all images by value, then present in each split."""
    if not s["findings"]:
        return ["no findings"]
    width = max(len(name) for name in s["findings"])
    kinds = (*_VALUES, "unknown")
    header = [f"{kind:>9}" for kind in kinds] + [f"{split:>7}" for split in SPLITS]
    lines = [f"{'':{width}} {' '.join(header)}  (present in each split)"]
    for name, counts in s["findings"].items():
        cells = [f"{counts['all'][kind]:>9,}" for kind in kinds]
        cells += [f"{counts[split]['present']:>7,}" for split in SPLITS]
        lines.append(f"{name:{width}} {' '.join(cells)}")
    return lines


def _rest(s: Mapping[str, Any]) -> list[str]:
    lines = [f"boxes     {_joined(s['boxes'])}", f"reports   {s['reports']:,} images"]
    if s["readers"]:
        lines.append(f"readers   {_joined(s['readers'])} (reader: images)")
    for name, e in s["embeddings"].items():
        missing = f", {e['missing']:,} images without" if e["missing"] else ""
        lines.append(
            f"embedding {name}: {e['dim']} numbers by {e['encoder']}, "
            f"fingerprint {e['fingerprint'][:12]}{missing}"
        )
    for source in s["sources"]:
        state = "" if source["complete"] else ", incomplete"
        lines.append(f"source    {source['name']}: {source['layout']}, {source['rows']:,} images"
                     + state)  # fmt: skip
        lines += [f"          {note}" for note in source["notes"]]
    if s["quarantine"]:
        lines.append(f"quarantine {_joined(s['quarantine'])}")
    if s["storage"]["bytes"] is not None:
        each = s["storage"]["bytes_per_image"]
        lines.append(f"storage   {s['storage']['bytes']:,} bytes"
                     + (f", {each:,} an image" if each else ""))  # fmt: skip
    return lines
