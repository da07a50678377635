"""What every reader keeps to, whatever its layout."""

from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest

from hilum.errors import SourceError, UsageError
from hilum.sources import SOURCES, Listing, SourceOptions, check, read_source
from hilum.sources.listing import schema
from trees_readers import READER_TREES
from trees_reports import REPORT_TREES
from trees_sources import TREES, options, write

pytestmark = pytest.mark.parametrize("layout", list(SOURCES))


@pytest.fixture
def root(layout: str, tmp_path: Path) -> Path:
    (tmp_path / "source").mkdir()
    return {**TREES, **REPORT_TREES, **READER_TREES}[layout](tmp_path / "source")


def listed(root: Path, layout: str, **changes: object) -> Listing:
    return read_source(root, layout, options(root, layout, **changes))


def test_the_frame_has_the_schema_and_passes_its_own_check(layout: str, root: Path) -> None:
    listing = listed(root, layout)
    assert dict(listing.frame.schema) == schema(listing.findings)
    assert listing.source == layout
    assert len(listing) == listing.frame.height == (3 if layout == "folder" else 4)
    check(listing)


def test_listing_twice_gives_the_same_rows_in_the_same_order(layout: str, root: Path) -> None:
    first, second = listed(root, layout), listed(root, layout)
    assert first.frame.equals(second.frame)
    assert first.digest() == second.digest()


def test_the_digest_follows_every_column(layout: str, root: Path) -> None:
    listing = listed(root, layout)
    digests = {listing.digest()}
    first = listing.frame.row(0, named=True)
    boxes = [{"finding": "x", "x": 1.0, "y": 1.0, "w": 1.0, "h": 1.0}]
    for column, dtype in listing.frame.schema.items():
        text_or_list = {pl.String: "other", pl.List: boxes}
        value = text_or_list.get(dtype.base_type(), int(str(first[column]) == "0"))
        head = listing.frame[:1].with_columns(pl.lit(value, dtype).alias(column))
        digests.add(replace(listing, frame=pl.concat([head, listing.frame[1:]])).digest())
    assert len(digests) == 1 + listing.frame.width


def test_visits_count_from_zero_without_gaps(layout: str, root: Path) -> None:
    for _, rows in listed(root, layout).frame.group_by("patient_id"):
        assert set(rows["visit"]) == set(range(rows["visit"].n_unique()))


def test_a_study_has_one_patient_and_one_visit(layout: str, root: Path) -> None:
    for _, rows in listed(root, layout).frame.group_by("study_id"):
        assert rows["patient_id"].n_unique() == rows["visit"].n_unique() == 1


def test_every_image_has_its_own_file_inside_the_folder(layout: str, root: Path) -> None:
    listing = listed(root, layout)
    paths = list(listing.paths(listing.frame["image_id"]))
    assert len(set(paths)) == len(listing)
    assert all(path.is_file() and path.is_relative_to(root.resolve()) for path in paths)
    for file, path in zip(listing.frame["file"], paths, strict=True):
        assert file is None or root.resolve() / file == path


def test_without_pixels_the_rows_are_the_same_and_no_file_is_named(layout: str, root: Path) -> None:
    whole, bare = listed(root, layout), listed(root, layout, pixels=False)
    assert bare.frame.drop("file").equals(whole.frame.drop("file"))
    assert bare.frame["file"].null_count() == len(bare)
    with pytest.raises(SourceError, match=r"no file is known for image '.*' in this .* listing"):
        bare.paths(bare.frame["image_id"])


def test_a_folder_given_by_a_link_or_a_relative_path_is_the_same_folder(
    layout: str, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (root.parent / "link").symlink_to(root)
    monkeypatch.chdir(root.parent)
    for other in (Path("link"), Path("source")):
        found = read_source(other, layout, options(root, layout))
        assert found.root == root.resolve()
        assert found.frame.equals(listed(root, layout).frame)


def test_listing_changes_nothing_in_the_folder(layout: str, root: Path) -> None:
    def state() -> dict[str, bytes]:
        return {str(p): p.read_bytes() for p in sorted(root.rglob("*")) if p.is_file()}

    before = state()
    listed(root, layout)
    assert state() == before


def test_hidden_files_do_not_matter(layout: str, root: Path) -> None:
    before = listed(root, layout)
    write(root, {".DS_Store": b"\0", "._a.png": b"\0", ".cache/00000001_000.png": b"\0"})
    after = listed(root, layout)
    assert before.frame.equals(after.frame)
    assert before.notes == after.notes


def test_views_are_kept_as_asked_and_visits_are_numbered_before(layout: str, root: Path) -> None:
    whole = listed(root, layout)
    if "AP" not in whole.frame["view"]:
        with pytest.raises(
            SourceError, match=r"no image has a view among AP; there are \['(PA|unk)"
        ):
            listed(root, layout, views=("AP",))
        return
    kept = listed(root, layout, views=("AP",))
    assert kept.frame.equals(whole.frame.filter(pl.col("view") == "AP"))
    assert f"{len(whole) - len(kept)} images of other or unknown views" in kept.notes[-1]


def test_a_folder_that_is_not_there_is_named(layout: str, root: Path) -> None:
    with pytest.raises(SourceError, match=rf"nowhere: expected a folder \(layout {layout}\)"):
        read_source("nowhere", layout)


def test_an_empty_folder_says_what_was_expected(layout: str, root: Path, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    expected = {
        "nih": r"expected NIH's table Data_Entry_2017_v2020\.csv or .*option table",
        "chexpert": r"expected one of CheXpert's tables train\.csv, valid\.csv.*option table",
        "mimic": r"expected MIMIC-CXR-JPG's mimic-cxr-2\.0\.0-metadata\.csv \(or \.gz\)",
        "openi": r"expected OpenI's reports, as ecgen-radiology/\*\.xml or as NLMCXR_reports\.tgz",
        "padchest": r"expected PadChest's table PADCHEST_chest_x_ray.*option table",
        "covidx": r"expected train_split\.txt and test_split\.txt, or train_COVIDx\*\.txt",
        "vindr": r"expected VinDr-CXR's image_labels_train\.csv or .* or Kaggle's train\.csv",
        "rsna": r"expected the challenge's stage_2_train_labels\.csv \(or \.gz\)",
        "isic": r"expected one of ISIC-2017_Training_Part3_GroundTruth\.csv, .* at any depth",
        "folder": r"no table\.csv and no file that ends in \.png, \.jpg",
        "dicom": r"expected DICOM files of modality CR, DX, RG; there is no DICOM file",
    }
    with pytest.raises(SourceError, match=expected[layout]):
        listed(empty, layout)


def test_an_option_of_another_layout_is_refused(layout: str, root: Path) -> None:
    foreign = {"keep_ids": True} if layout != "dicom" else {"table": "t.csv"}
    name = next(iter(foreign))
    with pytest.raises(UsageError, match=rf"the {layout} layout has no option '{name}'; it has "):
        listed(root, layout, **foreign)


def test_an_unknown_layout_lists_those_there_are(layout: str, root: Path) -> None:
    with pytest.raises(UsageError, match=r"'nope' is not a layout; choose from nih, chexpert, co"):
        read_source(root, "nope", SourceOptions())
