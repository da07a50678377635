"""What several readers of one image say together.

A label column holds one of four values, so readers who disagree must be brought to one. What each
of them said is kept beside it (`Listing.readings`), and so is the share that saw a finding: see
`hilum.collection.readings`.
"""

from collections.abc import Sequence
from typing import Final

import polars as pl

from hilum.errors import UsageError

CONSENSUS: Final = ("majority", "any", "unanimous")
"""``majority``: 1 if more than half of the readers see it, 0 if fewer, -1 if exactly half.
``any``: 1 if one sees it, else 0. ``unanimous``: what all say, and -1 where they disagree."""


def agree(readings: pl.DataFrame, findings: Sequence[str], rule: str) -> pl.DataFrame:
    """Make one label of several readers'.

    Parameters
    ----------
    readings
        `image_id` and `findings`: 1, 0, -1 (half a vote) or null (no vote).
    findings
        The columns.
    rule
        One of `CONSENSUS`.

    Returns
    -------
    One row per image, in the order of their first readings; null where nobody votes.

    Raises
    ------
    UsageError
        If there is no such rule.
    """
    if rule not in CONSENSUS:
        raise UsageError(f"{rule!r} is not a consensus; choose from {', '.join(CONSENSUS)}")
    by_image = readings.group_by("image_id", maintain_order=True)
    return by_image.agg(_label(share(name), rule).alias(name) for name in findings)


def share(finding: str) -> pl.Expr:
    """Return the share of votes that see a finding, 0 to 1; null where nobody votes."""
    vote = pl.col(finding).cast(pl.Float64)
    return pl.when(vote == -1).then(0.5).otherwise(vote).mean()


def _label(seen: pl.Expr, rule: str) -> pl.Expr:
    if rule == "any":
        made = pl.when(seen > 0).then(1).otherwise(0)
    elif rule == "unanimous":
        made = pl.when(seen == 1).then(1).when(seen == 0).then(0).otherwise(-1)
    else:
        made = pl.when(seen > 0.5).then(1).when(seen < 0.5).then(0).otherwise(-1)
    return pl.when(seen.is_not_null()).then(made.cast(pl.Int8))


def disagreement(readings: pl.DataFrame, findings: Sequence[str]) -> int:
    """Count the images whose readers do not all say the same of every finding."""
    several = readings.group_by("image_id").agg(pl.col(list(findings)).drop_nulls().n_unique())
    return several.filter(pl.any_horizontal(pl.col(list(findings)) > 1)).height
