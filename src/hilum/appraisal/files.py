"""Which files an evaluation is made from, and the tables that they hold."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from hilum.errors import UsageError
from hilum.evaluate import read_pair
from hilum.evaluate.plan import PATIENT
from hilum.evaluate.subgroups import Grouping
from hilum.evaluate.thresholds import Thresholds, read_thresholds
from hilum.findings import canonical
from hilum.tables import Table, read_columns, read_table

Pair = tuple[Table, Table]
"""Scores and truth."""


@dataclass(frozen=True)
class Files:
    """The files of an evaluation, and how they are read.

    Parameters
    ----------
    scores, truth
        Of the images that are reported.
    readers
        Radiologists' tables; each is called after its file.
    against
        Another model's scores of the same images.
    tune_scores, tune_truth, tune_against
        Of validation images: the model's scores, the truth, the other model's scores.
    thresholds
        A file of thresholds.
    id_column, score_id
        The id column of all tables; that of score tables, where it differs.
    prefix
        What finding columns of score tables start with.
    findings
        What to evaluate; None for all that the tables share.

    Raises
    ------
    UsageError
        If a file is missing that another one needs, or two readers have one name.
    """

    scores: Path
    truth: Path
    readers: Sequence[Path] = ()
    against: Path | None = None
    tune_scores: Path | None = None
    tune_truth: Path | None = None
    tune_against: Path | None = None
    thresholds: Path | None = None
    id_column: str = "image_id"
    score_id: str | None = None
    prefix: str = ""
    findings: Sequence[str] | None = None

    def __post_init__(self) -> None:
        if (self.tune_scores is None) != (self.tune_truth is None):
            raise UsageError("tuning needs both tables: name --tune-scores and --tune-truth")
        if self.tune_against is not None and (self.against is None or self.tune_truth is None):
            raise UsageError(
                "--tune-against has the validation scores of the model named with --against: "
                "it needs that, --tune-scores and --tune-truth"
            )
        named: dict[str, Path] = {}
        for path in self.readers:
            if (first := named.setdefault(name_of(path), path)) is not path:
                raise UsageError(
                    f"two readers are called {name_of(path)!r}: {first} and {path}; a reader is "
                    "called after the file, so each needs its own file name"
                )

    def digests(self) -> dict[str, Any]:
        """Return the name and SHA-256 of every file, by what it is here."""
        out: dict[str, Any] = {}
        for part in fields(self):
            value = getattr(self, part.name)
            if isinstance(value, Path):
                out[part.name] = _digest(value)
        if self.readers:
            out["readers"] = [_digest(path) for path in self.readers]
        return out

    def read(
        self,
        by: str | None = PATIENT,
        *,
        subgroups: Sequence[str] = (),
        stratify: str | None = None,
    ) -> "Tables":
        """Read all of them.

        Parameters
        ----------
        by, subgroups, stratify
            As in `hilum.evaluate`: what the truth must carry along.

        Raises
        ------
        TableError
            If a file is not such a table, or lacks a finding or a column that was asked for.
        UsageError
            If a subgroup is not written as one.
        """
        extra = [Grouping.parse(text).column for text in subgroups]
        if stratify is not None and not self._is_finding(stratify):
            extra.append(stratify)
        scores, truth = read_pair(
            self.scores,
            self.truth,
            self.score_id or self.id_column,
            self.id_column,
            findings=self.findings,
            by=by,
            extra=extra,
            prefix=self.prefix,
        )
        validation, against_validation = self._validation()
        return Tables(
            scores,
            truth,
            {name_of(path): self._labels(path) for path in self.readers},
            None if self.against is None else self._scores(self.against),
            validation,
            against_validation,
            None if self.thresholds is None else read_thresholds(self.thresholds),
            self.names(),
            self.digests(),
        )

    def _validation(self) -> tuple[Pair | None, Pair | None]:
        if self.tune_scores is None or self.tune_truth is None:
            return None, None
        truth = self._labels(self.tune_truth)
        other = None if self.tune_against is None else (self._scores(self.tune_against), truth)
        return (self._scores(self.tune_scores), truth), other

    def names(self) -> tuple[str, str]:
        """Return what the two models are called: after their files, told apart if need be."""
        first, second = name_of(self.scores), name_of(self.against or self.scores)
        if self.against is None:
            return first, ""
        return (f"{first} (1)", f"{second} (2)") if first == second else (first, second)

    def _is_finding(self, column: str) -> bool:
        if self.findings is None:
            return canonical(column) is not None
        wanted = {canonical(name) or name for name in self.findings}
        return (canonical(column) or column) in wanted

    def _scores(self, path: Path) -> Table:
        found = self._present(path, self.prefix)
        return read_table(path, self.score_id or self.id_column, found, prefix=self.prefix)

    def _labels(self, path: Path) -> Table:
        extra = [PATIENT] if PATIENT in read_columns(path) else []
        return read_table(path, self.id_column, self._present(path), extra)

    def _present(self, path: Path, prefix: str = "") -> Sequence[str] | None:
        """Return the findings asked for that a table has: only the main pair must have all."""
        if self.findings is None:
            return None
        columns = {n.removeprefix(prefix) for n in read_columns(path) if n.startswith(prefix)}
        columns |= {canonical(name) or name for name in columns}
        there = [name for name in self.findings if (canonical(name) or name) in columns]
        return there or self.findings  # none at all: let reading say so


@dataclass(frozen=True, eq=False)
class Tables:
    """What `Files` hold.

    Parameters
    ----------
    scores, truth, against
        Of the images that are reported.
    readers
        By name.
    validation, against_validation
        Scores and truth to tune on.
    thresholds
        As they were read.
    names
        What the two models are called.
    sources
        The files.
    """

    scores: Table
    truth: Table
    readers: Mapping[str, Table] = field(default_factory=dict)
    against: Table | None = None
    validation: Pair | None = None
    against_validation: Pair | None = None
    thresholds: Thresholds | None = None
    names: tuple[str, str] = ("the model", "the other model")
    sources: Mapping[str, Any] = field(default_factory=dict)


def name_of(path: Path) -> str:
    """Return what a file's content is called: its name without ``.csv`` and ``.gz``."""
    return path.name.removesuffix(".gz").removesuffix(".csv")


def _digest(path: Path) -> dict[str, str]:
    return {"name": path.name, "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
