"""One threshold per finding: tuned on validation tables, written, read and applied."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np

from hilum.errors import TableError
from hilum.evaluate.rules import Choice, Rule, choose, parse_rule
from hilum.evaluate.tuning import known_in
from hilum.findings import Policy, canonical
from hilum.tables import Table, read_table, write_table

_FIXED: Final = "a fixed number"


@dataclass(frozen=True)
class Thresholds:
    """One threshold per finding, and where it comes from.

    Parameters
    ----------
    findings
        By finding.
    rule
        The rule as a user writes it, or ``"given"`` where they were read from a file.
    source
        What they were tuned on, or where they were read.
    optimistic
        A remark where they were tuned on what is reported (`tuning.refuse_overlap`).
    """

    findings: Mapping[str, Choice]
    rule: str
    source: str
    optimistic: str | None = None

    def of(self, finding: str) -> Choice:
        """Return a finding's choice; one that was never tuned has none, and a reason."""
        missing = f"{self.source} has none for it"
        return self.findings.get(finding, Choice(None, reason=missing))

    def numbers(self) -> dict[str, float]:
        """Return the thresholds that there are, by finding: what `hilum.evaluate` takes."""
        chosen = {name: choice.threshold for name, choice in self.findings.items()}
        return {name: number for name, number in chosen.items() if number is not None}

    def apply(self, scores: Table) -> Table:
        """Turn scores into decisions: 1 at or above the threshold, 0 below, NaN if unknown.

        A finding without a threshold is empty, with a note.
        """
        numbers = self.numbers()
        limits = np.array([numbers.get(name, np.nan) for name in scores.findings])
        decided = ~np.isnan(scores.values) & ~np.isnan(limits)
        decisions = np.where(decided, scores.values >= limits, np.nan)
        reasons = {name: self.of(name).reason for name in scores.findings}
        notes = {name: f"no threshold: {reason}" for name, reason in reasons.items() if reason}
        return replace(scores, values=decisions, notes={**scores.notes, **notes})

    def remarks(self) -> list[str]:
        """Say in a line each what a reader of the decisions has to know."""
        out = [self.optimistic] if self.optimistic else []
        for name, choice in self.findings.items():
            if choice.reason:
                out.append(f"{name}: no threshold, {choice.reason}.")
            elif choice.specificity == 0:
                out.append(f"{name}: the threshold calls every validation image positive.")
            elif choice.sensitivity == 0:
                out.append(f"{name}: the threshold finds no positive validation image.")
        return out

    def to_json(self) -> dict[str, Any]:
        """Return what ``metrics.json`` says about them (`docs/formats.md`)."""
        return asdict(self)


def choose_thresholds(
    scores: Table,
    truth: Table,
    rule: Rule | str,
    policy: Policy = "ignore",
    *,
    source: str = "the validation table",
) -> Thresholds:
    """Choose the threshold of every finding that two validation tables share.

    Nothing here knows which table will be reported: call `tuning.refuse_overlap` with both.

    Parameters
    ----------
    scores, truth
        Of the validation images; rows and columns in any order, joined by id and by name.
    rule
        A rule, or one as a user writes it (`parse_rule`).
    policy
        What an uncertain label counts as: ``"ignore"``, ``"positive"`` or ``"negative"``.
    source
        What the two tables are called in the result.

    Raises
    ------
    TableError
        As in `hilum.evaluate`.
    UsageError
        If the rule or the policy cannot be used.
    """
    rule = parse_rule(rule) if isinstance(rule, str) else rule
    images = known_in(scores, truth, policy)
    found = {name: choose(of_finding, rule) for name, of_finding in images.items()}
    return Thresholds(found, str(rule), _FIXED if rule.name == "fixed" else source)


def fixed_thresholds(value: float, findings: Sequence[str]) -> Thresholds:
    """Return the same threshold for every finding: nothing is tuned.

    Raises
    ------
    UsageError
        If the value is not finite.
    """
    rule = Rule("fixed", value)
    return Thresholds({name: Choice(value) for name in findings}, str(rule), _FIXED)


def write_thresholds(thresholds: Thresholds, path: str | Path) -> None:
    """Write ``finding,threshold`` as CSV: a decision rule that travels with a model.

    An empty cell is a finding without a threshold. Reading gives the same numbers to the last bit.

    Raises
    ------
    TableError
        If there is no finding.
    """
    numbers, names = thresholds.numbers(), tuple(thresholds.findings)
    column = np.array([[numbers.get(name, np.nan)] for name in names]).reshape(-1, 1)
    write_table(Table(names, ("threshold",), column), path, "finding")


def read_thresholds(path: str | Path) -> Thresholds:
    """Read ``finding,threshold`` from a CSV file; other columns are ignored.

    Parameters
    ----------
    path
        As `write_thresholds` writes it; findings in any spelling.

    Raises
    ------
    TableError
        If the file is not such a table; faults are named as ``file:line:column``.
    """
    path = Path(path)
    try:
        table = read_table(path, "finding", ["threshold"])
    except TableError as error:
        raise TableError(f"{error} (thresholds: the columns finding and threshold)") from error
    found: dict[str, Choice] = {}
    for name, value in zip(table.ids, table.values[:, 0].tolist(), strict=True):
        finding = canonical(name) or name
        if finding in found:
            raise TableError(f"{path}: {finding!r} has two rows, one of them {name!r}; keep one")
        empty = Choice(None, reason=f"its cell in {path.name} is empty")
        found[finding] = empty if math.isnan(value) else Choice(value)
    return Thresholds(found, "given", path.name)
