"""A tree of DICOM files, as a PACS exports it, with pseudonyms in place of identifiers.

Every file below the folder is looked at, whatever its name; DICOMDIR files are not followed.
Patient, study and image identifiers become keyed hashes (`hilum.pseudonyms`) and file names are
not kept, unless `keep_ids`. Dates only order the visits and turn into ages: no date is kept.

The patient is PatientID alone. Two hospitals may give two people one number, and then they count
as one patient, which costs nothing; the opposite mistake would put one person on both sides of a
split.
"""

import hashlib
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Final

import polars as pl

from hilum.errors import SourceError
from hilum.pseudonyms import load_key, pseudonyms
from hilum.sources import attributes
from hilum.sources.checks import LONGEST_ID
from hilum.sources.delimited import TextTable, read_text_table
from hilum.sources.dicom_headers import Header, Unread, is_named_dicom, read_headers
from hilum.sources.files import walk
from hilum.sources.label_columns import check_mapping, finding_columns, labels
from hilum.sources.listing import Listing, Rejected, arrange
from hilum.sources.options import SourceOptions

# A label table's name for each identifier, hilum's first, then the standard's.
_KEYS: Final = {
    "image": ("image_id", "SOPInstanceUID"),
    "study": ("study_id", "StudyInstanceUID"),
    "accession": ("accession", "AccessionNumber"),
}
_DAYS_PER_YEAR: Final = 365.25
_READ_SIZE: Final = 1 << 20


@dataclass
class _Found:
    """What the tree holds: rows of headers with their file, and what is left out."""

    rows: list[tuple[str, Header]]
    bad: list[tuple[str, Unread]]
    notes: list[str]


def read(root: Path, options: SourceOptions) -> Listing:
    """List a tree of DICOM files.

    Raises
    ------
    SourceError
        If there is no radiograph in it, or the label table does not fit.
    UsageError
        If the key file cannot be used.
    """
    found = _look(root, options)
    rows, bad = _drop_copies(root, found.rows)
    bad = [*found.bad, *bad]
    if not rows:
        reasons = Counter(fault.reason for _, fault in bad).items()
        rejected = [f"{count:,} rejected [{reason}]" for reason, count in reasons]
        raise SourceError(
            f"{root}: expected DICOM files of modality {', '.join(options.modalities)}; "
            f"{'; '.join([*found.notes, *rejected]) or 'there is no DICOM file'}"
        )
    frame, notes = _describe(rows)
    frame, findings, label_notes = _join_labels(frame, options)
    frame, hide = _hide(frame, options)
    files = dict(zip(frame["image_id"], (root / file for file, _ in rows), strict=True))
    if not (options.keep_ids and options.pixels):
        frame = frame.drop("file")
    # Sorted by id: the order of the rows then says nothing about the order of the file names.
    return Listing(
        frame=arrange(frame.sort("image_id"), findings),
        findings=findings,
        source="dicom",
        root=root,
        notes=(*found.notes, *notes, *label_notes),
        rejected=tuple(
            sorted((Rejected(hide(file), b.reason, b.message) for file, b in bad), key=_by_name)
        ),
        private_files=files if options.pixels else {},
    )


def _by_name(rejected: Rejected) -> str:
    return rejected.name


def _look(root: Path, options: SourceOptions) -> _Found:
    """Read every header and sort the files into rows, rejected and left out."""
    tree = walk(root)
    files = (*tree.files, *tree.odd_files)
    paths = [root / file for file in files]
    found = _Found([], [], [])
    left_out = Counter({"link": tree.links_left_out})
    headers = read_headers(paths, options.workers, options.progress)
    for file, path, header in zip(files, paths, headers, strict=True):
        kind = _foreign_kind(path, header, options.modalities)
        fault = header if isinstance(header, Unread) else _fault(header)
        if kind:
            left_out[kind] += 1
        elif fault:
            found.bad.append((file, fault))
        elif isinstance(header, Header):
            found.rows.append((file, header))
    kept = ", ".join(options.modalities)
    found.notes += [
        f"{left_out[kind]:,} {what}"
        for kind, what in (
            ("other", "files that are not DICOM are left out"),
            ("directory", "DICOMDIR files are not followed"),
            ("modality", f"DICOM files of other modalities than {kept} are left out"),
            ("link", "links were not followed"),
        )
        if left_out[kind]
    ]
    return found


def _foreign_kind(path: Path, header: Header | Unread, modalities: Sequence[str]) -> str | None:
    """Say what a file is if it never was one of the source's radiographs."""
    if isinstance(header, Header):
        other = header.modality is not None and header.modality not in modalities
        return "modality" if other else None
    if header.reason == "directory" or path.name.upper() == "DICOMDIR":
        return "directory"
    # A name in .dcm says that it was meant to be one: that is a fault, not a foreigner.
    return "other" if header.reason == "not-dicom" and not is_named_dicom(path) else None


def _drop_copies(
    root: Path, rows: Sequence[tuple[str, Header]]
) -> tuple[list[tuple[str, Header]], list[tuple[str, Unread]]]:
    """Keep one of identical files, and none of different files that claim one SOPInstanceUID."""
    groups: dict[str, list[tuple[str, Header]]] = {}
    bad: list[tuple[str, Unread]] = []
    for file, header in rows:
        groups.setdefault(str(header.image), []).append((file, header))
    kept: list[tuple[str, Header]] = []
    for group in groups.values():
        if len(group) > 1 and len({_sha256(root / file) for file, _ in group}) > 1:
            message = f"{len(group)} different files have one SOPInstanceUID; keep the right one"
            bad += [(file, Unread("clash", message)) for file, _ in group]
        else:
            kept.append(group[0])
    return kept, bad


def _fault(header: Header) -> Unread | None:
    """Say what a header lacks to become a row."""
    if header.rows is None:
        # Rows comes late: a file cut short before it may have lost its patient too.
        return Unread("no-image", "no Rows: the file is cut short or holds no image")
    if header.modality is None:
        return Unread("no-modality", "Modality is absent or empty (PS3.3, C.7.3.1)")
    if header.image is None:
        return Unread("no-image-id", "SOPInstanceUID is absent or empty (PS3.3, C.12.1)")
    for name in ("patient", "study", "image"):
        value = getattr(header, name)
        if value is not None and (len(value) > LONGEST_ID or not value.isprintable()):
            message = f"the {name} identifier is not 1 to {LONGEST_ID} printable characters"
            return Unread("bad-id", message)
    return None


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_READ_SIZE):
            digest.update(block)
    return digest.hexdigest()


def _describe(rows: Sequence[tuple[str, Header]]) -> tuple[pl.DataFrame, list[str]]:
    """Return a row per image with its identifiers in clear, visit, age, sex and view."""
    texts = dict.fromkeys((field.name for field in fields(Header)), pl.String)
    raw = pl.DataFrame([asdict(header) for _, header in rows], schema=texts)
    frame = raw.with_columns(
        # A name that is not UTF-8 is shown with question marks; its path is kept apart.
        pl.Series("file", [_printable(file) for file, _ in rows]),
        study=pl.coalesce("study", "image"),
        # Without a patient the study is all we have; a note says so.
        patient_id=pl.coalesce("patient", "study", "image"),
    )
    notes = []
    nameless = raw["patient"].null_count()
    if nameless:
        notes.append(
            f"{nameless:,} images have no PatientID: each of their studies counts as a patient, so "
            "a person may end up on both sides of a split"
        )
    ages, age_notes = _ages(frame)
    sex, sex_notes = attributes.sexes(frame["sex"])
    view, view_notes = attributes.views(frame["view"])
    frame = frame.with_columns(ages.alias("age"), sex.alias("sex"), view.alias("view"))
    frame, split_notes = _part_studies(frame)
    frame, visit_notes = _visits(frame)
    return frame, [*notes, *age_notes, *sex_notes, *view_notes, *split_notes, *visit_notes]


def _ages(frame: pl.DataFrame) -> tuple[pl.Series, list[str]]:
    """Take PatientAge, or else count from the birth date to the study's."""
    days = _as_date("date") - _as_date("birth")
    counted = days.dt.total_days() / _DAYS_PER_YEAR
    stated = attributes.age_years(pl.col("age"))
    years = frame.select(pl.coalesce(stated, pl.when(counted >= 0).then(counted))).to_series()
    return attributes.plausible(years.rename("age"))


def _as_date(column: str) -> pl.Expr:
    return pl.col(column).str.replace_all(".", "", literal=True).str.to_date("%Y%m%d", strict=False)


def _part_studies(frame: pl.DataFrame) -> tuple[pl.DataFrame, list[str]]:
    """Make a study that several patients claim one study of each of them."""
    shared = pl.col("patient_id").n_unique().over("study") > 1
    parts = pl.concat_str("patient_id", pl.lit("/"), "study")
    count = frame.filter(shared)["study"].n_unique()
    frame = frame.with_columns(study_id=pl.when(shared).then(parts).otherwise("study"))
    return frame, [f"{count:,} studies hold images of several patients"] if count else []


def _visits(frame: pl.DataFrame) -> tuple[pl.DataFrame, list[str]]:
    """Order the visits by the earliest date and time of each study."""
    moment = pl.col("date") + pl.col("time").fill_null("").str.pad_end(6, "0")
    earliest = moment.min().over("study_id").alias("order")
    return attributes.number_visits(frame.with_columns(earliest), "order")


def _join_labels(
    frame: pl.DataFrame, options: SourceOptions
) -> tuple[pl.DataFrame, tuple[str, ...], list[str]]:
    """Join a label table by image, study or accession; identifiers are still in clear here."""
    if options.labels is None:
        return frame, (), []
    table = read_text_table(options.labels)
    key, column = _key(table, options)
    ids = table.texts(column)
    again = ~ids.is_first_distinct()
    if again.any():
        place = table.where(int(again.arg_max() or 0), column)
        raise SourceError(f"{place}: this {key} has a line already; keep one")
    check_mapping(table, options.columns, {name for pair in _KEYS.values() for name in pair})
    chosen = finding_columns(table, options.columns, options.findings, {column})
    if not chosen:
        raise SourceError(
            f"{table.path.name}:1: no column is a finding of the vocabulary; name the columns of "
            "labels with the option findings"
        )
    values = labels(table, chosen).with_columns(ids.rename(key))
    joined = frame.join(values, on=key, how="left", maintain_order="left")
    stray = values.join(frame, on=key, how="anti").height
    bare = frame.join(values, on=key, how="anti").height
    notes = [
        f"{count:,} {what}"
        for count, what in (
            (stray, f"lines of {table.path.name} belong to no image here"),
            (bare, f"images have no line in {table.path.name}: their labels are unknown"),
        )
        if count
    ]
    return joined, tuple(chosen), notes


def _key(table: TextTable, options: SourceOptions) -> tuple[str, str]:
    """Return which identifier a label table is keyed by, and its column."""
    for key, (ours, standard) in _KEYS.items():
        for column in (options.columns.get(ours, ours), standard):
            if column in table.columns:
                return key, column
    names = [name for pair in _KEYS.values() for name in pair]
    raise SourceError(
        f"{table.path.name}:1: expected one of the columns {', '.join(names)}, got "
        f"{', '.join(map(repr, table.columns))}"
    )


def _hide(frame: pl.DataFrame, options: SourceOptions) -> tuple[pl.DataFrame, Callable[[str], str]]:
    """Replace identifiers by pseudonyms; also return what to call a rejected file."""
    frame = frame.with_columns(image_id="image")
    if options.keep_ids:
        return frame, _printable
    key = load_key(options.key_file)
    frame = frame.with_columns(
        pl.col(f"{kind}_id").replace_strict(
            pseudonyms(key, kind, frame[f"{kind}_id"].unique()), return_dtype=pl.String
        )
        for kind in ("patient", "study", "image")
    )
    return frame, lambda file: pseudonyms(key, "file", [file])[file]


def _printable(file: str) -> str:
    return file.encode(errors="replace").decode()
