"""The inputs that a model without pixels can have, by name."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

from hilum.errors import UsageError
from hilum.features.course import course_columns
from hilum.features.demographics import demographics
from hilum.features.history import history_columns, previous_columns
from hilum.features.past import Past, read_past
from hilum.features.table import Features, beside
from hilum.features.visits import Floats
from hilum.findings import Policy

if TYPE_CHECKING:
    from hilum.collection import Collection

DEMOGRAPHICS: Final = "demographics"

FROM_THE_PAST: Final[dict[str, Callable[[Past], dict[str, Floats]]]] = {
    "previous": previous_columns,
    "history": history_columns,
    "course": course_columns,
}

INPUTS: Final = (DEMOGRAPHICS, *FROM_THE_PAST)
"""``previous`` is a part of ``history``: the labels of the previous visit alone."""


def features_of(
    collection: "Collection",
    inputs: Sequence[str] = ("demographics", "history"),
    findings: Sequence[str] | None = None,
    policy: Policy = "ignore",
) -> Features:
    """Return numbers about the images of a view that are not their pixels, in its order.

    Parameters
    ----------
    inputs
        Some of `INPUTS`; each is a group of the result.
    findings, policy
        Of which earlier labels, and what uncertain ones count as (`hilum.features.history`).

    Raises
    ------
    UsageError
        If there is no such input or policy, or one input is part of another.
    CollectionError
        If there is no such finding.
    """
    check_inputs(inputs)
    past = None
    if any(name in FROM_THE_PAST for name in inputs):
        past = read_past(collection, findings, policy)
    parts = {}
    for name in inputs:
        if name in FROM_THE_PAST:
            assert past is not None
            parts[name] = past.to_images(FROM_THE_PAST[name](past), name)
        else:
            parts[name] = demographics(collection)
    return beside(parts)


def check_inputs(inputs: Sequence[str]) -> None:
    """Refuse names that are no inputs, doubled ones, none, and parts beside their whole.

    Raises
    ------
    UsageError
        With the names that there are.
    """
    known = ", ".join(INPUTS)
    for name in inputs:
        if name not in INPUTS:
            raise UsageError(f"{name!r} is not an input without pixels; there are {known}")
    if not inputs or len(set(inputs)) < len(inputs):
        raise UsageError(f"name each input once, and at least one; got {', '.join(inputs) or None}")
    if {"previous", "history"} <= set(inputs):
        raise UsageError("history holds previous: name one of them")
