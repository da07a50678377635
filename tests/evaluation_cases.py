"""Small made-up evaluations: scores, truth with patients, sexes and ages, and readers."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from hilum.appraisal import Appraisal, Tables, appraise
from hilum.tables import Table, write_table

FINDINGS = ("Edema", "Mass", "Pneumonia")


def made(n: int = 120, seed: int = 0, first: int = 0) -> tuple[Table, Table]:
    """Return scores in [0, 1] and truth of `n` images, two a patient, counted from `first`."""
    rng = np.random.default_rng(seed)
    at = np.arange(first, first + n)
    truth = (rng.random((n, 3)) < 0.4).astype(float)
    scores = 1 / (1 + np.exp(-rng.normal(size=(n, 3)) - 2 * truth + 1))
    extra = {
        "patient_id": tuple(f"p{i // 2}" for i in at),
        "sex": tuple("FM"[i // 2 % 2] for i in at),
        "age": tuple(str(20 + 7 * (i // 2) % 70) for i in at),
    }
    ids = tuple(f"i{i}" for i in at)
    return Table(ids, FINDINGS, scores), Table(ids, FINDINGS, truth, extra)


def readings(truth: Table, mistakes: float, seed: int) -> Table:
    """Return a reader who gets this share of the truth wrong."""
    wrong = np.random.default_rng(seed).random(truth.values.shape) < mistakes
    return Table(truth.ids, truth.findings, np.where(wrong, 1 - truth.values, truth.values))


def some_readers(truth: Table, n: int = 3) -> dict[str, Table]:
    """Return readers `ann`, `bob`, `cat`, better to worse."""
    names = ("ann", "bob", "cat")[:n]
    return {name: readings(truth, 0.1 + 0.06 * at, at) for at, name in enumerate(names)}


def another(scores: Table, noise: float = 0.2, seed: int = 9) -> Table:
    """Return a worse model's scores."""
    values = scores.values + noise * np.random.default_rng(seed).normal(size=scores.values.shape)
    return Table(scores.ids, scores.findings, np.clip(values, 0, 1))


def written(folder: Path, tables: Mapping[str, Table], id_column: str = "image_id") -> Path:
    """Write tables as ``NAME.csv`` into a folder; return it."""
    for name, table in tables.items():
        write_table(table, folder / f"{name}.csv", id_column)
    return folder


def appraised(
    readers: int = 0, against: bool = False, tables: tuple[Table, Table] | None = None, **how: Any
) -> Appraisal:
    """Return an appraisal of `net`, beside readers and against `rival`."""
    scores, truth = tables or made()
    given = Tables(
        scores,
        truth,
        some_readers(truth, readers),
        another(scores) if against else None,
        names=("net", "rival" if against else ""),
    )
    return appraise(given, **{"bootstrap": 40, **how})
