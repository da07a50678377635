"""What the cells of the usual columns mean: age, sex, view, label, order in time.

Every function takes a text expression and gives null where it does not understand the text; the
reader decides whether that is an error (`TextTable.values`) or an unknown with a note (`spelled`).
"""

from collections.abc import Mapping
from typing import Final

import polars as pl

OLDEST: Final = 120.0  # years; the NIH release of 2017 holds ages up to 414

_YEARS_PER_UNIT: Final = {"Y": 1.0, "M": 1 / 12, "W": 7 / 365.25, "D": 1 / 365.25}

_SEXES: Final = {"m": "M", "male": "M", "f": "F", "female": "F"}
_VIEWS: Final = {
    "pa": "PA",
    "posteroanterior": "PA",
    "ap": "AP",
    "anteroposterior": "AP",
    "ap supine": "AP",
    "ap erect": "AP",
    "ap portable": "AP",
    "lateral": "LATERAL",
    "lat": "LATERAL",
    "l": "LATERAL",
    "ll": "LATERAL",
    "rl": "LATERAL",
    "left lateral": "LATERAL",
    "right lateral": "LATERAL",
}
_LABELS: Final = {"1": 1, "1.0": 1, "0": 0, "0.0": 0, "-1": -1, "-1.0": -1}
LABEL_CELLS: Final = "1 (present), 0 (absent), -1 (uncertain) or an empty cell (unknown)"


def age_years(text: pl.Expr) -> pl.Expr:
    """Return years from ``58``, ``058Y``, ``6M``, ``3W`` or ``11D`` (DICOM PS3.5, 6.2, AS)."""
    parts = text.str.to_uppercase().str.extract_groups(r"^(\d{1,4}(?:\.\d+)?)\s*([YMWD]?)$")
    unit = parts.struct.field("2").replace_strict(_YEARS_PER_UNIT, default=1.0)
    return parts.struct.field("1").cast(pl.Float64) * unit


def plausible(ages: pl.Series) -> tuple[pl.Series, list[str]]:
    """Make ages above 120 years unknown, and say how many were."""
    age = pl.col("age")
    kept = ages.to_frame("age").select(pl.when(age <= OLDEST).then(age)).to_series()
    wrong = kept.null_count() - ages.null_count()
    return kept, [f"{wrong:,} ages above {OLDEST:.0f} years are unknown here"] if wrong else []


def counted_ages(years: pl.Series) -> tuple[pl.Series, list[str]]:
    """Make ages unknown that were counted from dates and are below 0 or above 120 years."""
    age = pl.col("age")
    born = years.to_frame("age").select(pl.when(age >= 0).then(age)).to_series()
    wrong = born.null_count() - years.null_count()
    notes = [f"{wrong:,} ages below 0 years are unknown here"] if wrong else []
    kept, more = plausible(born)
    return kept, [*notes, *more]


def label(text: pl.Expr) -> pl.Expr:
    """Return 1, 0 or -1 from ``1``, ``1.0`` and so on; ``true``, ``yes`` and ``x`` are not labels.

    Words are refused because no two tables agree on what an empty cell beside them means.
    """
    return text.replace_strict(_LABELS, default=None, return_dtype=pl.Int8)


def sexes(texts: pl.Series) -> tuple[pl.Series, list[str]]:
    """Return ``M``, ``F`` or null, and a note if some text was not understood."""
    return _spelled(texts, _SEXES, "sex", unknown=("unknown", "u", "o", "other"))


def views(texts: pl.Series) -> tuple[pl.Series, list[str]]:
    """Return ``PA``, ``AP``, ``LATERAL`` or null, and a note if some text was not understood."""
    return _spelled(texts, _VIEWS, "view", unknown=("unknown", "other"))


def _spelled(
    texts: pl.Series, spellings: Mapping[str, str], what: str, unknown: tuple[str, ...]
) -> tuple[pl.Series, list[str]]:
    key = texts.str.to_lowercase().str.replace_all(r"[_\s]+", " ").str.strip_chars()
    values = key.replace_strict(dict(spellings), default=None, return_dtype=pl.String)
    strange = texts.filter(values.is_null() & texts.is_not_null() & ~key.is_in([*unknown, ""]))
    if strange.is_empty():
        return values.rename(texts.name), []
    shown = ", ".join(repr(text) for text in strange.unique().sort().head(5))
    note = f"{len(strange):,} rows have a {what} that is none of {_kinds(spellings)} ({shown})"
    return values.rename(texts.name), [f"{note}: unknown here"]


def _kinds(spellings: Mapping[str, str]) -> str:
    return ", ".join(dict.fromkeys(spellings.values()))


def number_visits(frame: pl.DataFrame, order: str) -> tuple[pl.DataFrame, list[str]]:
    """Give each patient's visits their numbers, from 0 for the earliest.

    Parameters
    ----------
    frame
        With `patient_id`.
    order
        The column to order by: numbers, dates or text that sorts. Equal values are one visit.
        Where some images of a patient lack it their order is unknown, and all get visit 0.

    Returns
    -------
    The frame with `visit`, and a note if some patients' order is unknown.
    """
    unordered = pl.col(order).is_null().any().over("patient_id")
    rank = pl.col(order).rank("dense").over("patient_id").cast(pl.Int32) - 1
    numbered = frame.with_columns(
        pl.when(unordered).then(pl.lit(0, pl.Int32)).otherwise(rank).alias("visit")
    )
    several = numbered.filter(unordered & (pl.len().over("patient_id") > 1))
    patients = several["patient_id"].n_unique()
    note = f"the order of the visits of {patients:,} patients is unknown: all their images are"
    return numbered, [f"{note} visit 0"] if patients else []
