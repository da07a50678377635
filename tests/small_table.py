"""A collection without pixels, made in the test from rows."""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

from hilum.collection import Collection
from hilum.ingest import ingest


def small_table(root: Path, rows: Sequence[Mapping[str, object]]) -> Collection:
    """Ingest rows in the `folder` layout; None is an empty cell."""
    root.mkdir(parents=True, exist_ok=True)
    with (root / "table.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return ingest(root, root / "table.lance", layout="folder", pixels=False).collection
