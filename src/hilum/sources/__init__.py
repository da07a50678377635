"""Folders of images, each in its own layout, as rows in one schema.

A reader is a function ``(root, options) -> Listing``, and `SOURCES` names them. A new layout is one
function and one entry; the conformance tests run over every entry.
"""

from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Final

import polars as pl

from hilum.errors import SourceError, UsageError
from hilum.sources import (
    chexpert,
    covidx,
    dicom,
    folder,
    isic,
    mimic,
    nih,
    openi,
    padchest,
    rsna,
    vindr,
)
from hilum.sources.checks import check
from hilum.sources.listing import Listing, Rejected
from hilum.sources.options import SourceOptions

__all__ = ["SOURCES", "Listing", "Reader", "Rejected", "SourceOptions", "check", "read_source"]

Reader = Callable[[Path, SourceOptions], Listing]

SOURCES: Final[dict[str, Reader]] = {
    "nih": nih.read,
    "chexpert": chexpert.read,
    "covidx": covidx.read,
    "mimic": mimic.read,
    "openi": openi.read,
    "padchest": padchest.read,
    "vindr": vindr.read,
    "rsna": rsna.read,
    "isic": isic.read,
    "folder": folder.read,
    "dicom": dicom.read,
}

_FOR_ALL: Final = {"pixels", "views", "progress"}
_ALSO: Final[dict[str, set[str]]] = {
    "nih": {"table"},
    "chexpert": {"table"},
    "covidx": set(),
    "mimic": {"table", "reports"},
    "openi": set(),
    "padchest": {"table", "findings", "method"},
    "vindr": {"consensus", "workers"},
    "rsna": {"mapping", "workers"},
    "isic": {"coding"},
    "folder": {"table", "columns", "findings"},
    "dicom": {
        *("columns", "findings", "labels", "keep_ids", "key_file", "modalities", "workers"),
    },
}


def read_source(root: str | Path, layout: str, options: SourceOptions | None = None) -> Listing:
    """List a folder of radiographs.

    Parameters
    ----------
    root
        The folder.
    layout
        One of `SOURCES`.
    options
        What to read and how; the defaults if None.

    Returns
    -------
    A checked listing; `Listing.notes` is for the user's eyes.

    Raises
    ------
    UsageError
        If there is no such layout, or it has no such option.
    SourceError, ClashError, LeakError
        If the folder is not in this layout, or its rows contradict each other (see `check`).
    """
    options = options or SourceOptions()
    if layout not in SOURCES:
        raise UsageError(f"{layout!r} is not a layout; choose from {', '.join(SOURCES)}")
    _refuse_foreign_options(layout, options)
    folder_path = Path(root).resolve()
    if not folder_path.is_dir():
        raise SourceError(f"{root}: expected a folder (layout {layout})")
    listing = SOURCES[layout](folder_path, options)
    check(listing)
    return _keep_views(listing, options.views)


def _refuse_foreign_options(layout: str, options: SourceOptions) -> None:
    plain = SourceOptions()
    known = _FOR_ALL | _ALSO[layout]
    for option in fields(SourceOptions):
        changed = getattr(options, option.name) != getattr(plain, option.name)
        if changed and option.name not in known:
            raise UsageError(
                f"the {layout} layout has no option {option.name!r}; "
                f"it has {', '.join(sorted(known))}"
            )


def _keep_views(listing: Listing, views: tuple[str, ...] | None) -> Listing:
    if views is None:
        return listing
    kept = listing.frame.filter(pl.col("view").is_in(views))
    left_out = len(listing) - kept.height
    if not kept.height:
        found = listing.frame["view"].fill_null("unknown").unique().sort().to_list()
        raise SourceError(f"no image has a view among {', '.join(views)}; there are {found}")
    note = f"{left_out:,} images of other or unknown views are left out"
    said = listing.readings
    if said is not None:
        said = said.join(kept, on="image_id", how="semi", maintain_order="left")
    notes = (*listing.notes, note) if left_out else listing.notes
    return replace(listing, frame=kept, notes=notes, readings=said)
