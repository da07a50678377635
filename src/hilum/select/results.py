"""What was measured of strategies, as files: JSON and CSV for machines, a text for people."""

import csv
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from hilum.files import write_text


def write_results(
    folder: str | Path,
    stem: str,
    document: Any,
    columns: Sequence[str],
    rows: Iterable[Mapping[str, Any]],
    text: str,
) -> tuple[Path, ...]:
    """Write STEM.json, STEM.csv and STEM.txt to a folder; each is complete or not there."""
    folder = Path(folder)
    table = io.StringIO()
    writer = csv.DictWriter(table, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    texts = {
        f"{stem}.json": json.dumps(document, indent=2, allow_nan=False) + "\n",
        f"{stem}.csv": table.getvalue(),
        f"{stem}.txt": text + "\n",
    }
    return tuple(write_text(folder / name, content) for name, content in texts.items())
