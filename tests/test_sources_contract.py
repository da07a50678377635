"""The second net: rows that break the contract are refused, whichever reader made them."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hilum.errors import ClashError, HilumError, LeakError, SourceError
from hilum.sources import Listing, check
from hilum.sources.attributes import age_years, label, number_visits, plausible
from hilum.sources.boxes import attach
from hilum.sources.delimited import find_table, read_lines, read_text_table
from hilum.sources.files import locate, walk
from hilum.sources.listing import BOX, arrange, schema
from trees_sources import png, write

ROW: dict[str, Any] = {
    "image_id": "a",
    "patient_id": "p",
    "study_id": "s",
    "visit": 0,
    "view": "PA",
    "age": 50.0,
    "sex": "F",
    "split": "train",
    "file": "x/a.png",
    "Edema": 1,
    "boxes": [{"finding": "Edema", "x": 0.0, "y": 0.0, "w": 1.0, "h": 1.0}],
    "report_findings": None,
    "report_impression": None,
}


def listing_of(*changes: dict[str, Any], source: str = "folder") -> Listing:
    """Return a listing of one row per dict of changes to `ROW`, each an image of its own."""
    rows = [
        {**ROW, "image_id": f"i{n}", "patient_id": f"p{n}", "study_id": f"s{n}", **change}
        for n, change in enumerate(changes)
    ]
    frame = pl.DataFrame(rows, schema=schema(("Edema",)))
    return Listing(frame, ("Edema",), source, Path("/source"))


def box(**changes: object) -> dict[str, Any]:
    return {"boxes": [{**ROW["boxes"][0], **changes}]}


def test_a_good_listing_passes() -> None:
    unknown = dict.fromkeys(("view", "age", "sex", "split", "file", "Edema"))
    check(listing_of({}, unknown, {"boxes": [], "Edema": -1, "age": 0.0, "split": "trainval"}))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"image_id": ""}, r"row 2 \(\): image_id: expected 1 to 128 printable characters, got ''"),
        ({"image_id": None}, r"row 2 \(None\): image_id: expected 1 to 128"),
        ({"patient_id": "a\n"}, r"row 2 \(i1\): patient_id: expected 1 to 128 .* got 'a\\n'"),
        ({"patient_id": "a\u200bb"}, r"patient_id: expected 1 to 128"),
        ({"study_id": " a"}, r"study_id: expected 1 to 128 .* got ' a'"),
        ({"study_id": "é" * 129}, r"study_id: expected 1 to 128"),
        ({"view": "LL"}, r"row 2 \(i1\): view: expected PA, AP, LATERAL or null, got 'LL'"),
        ({"sex": "X"}, r"sex: expected M, F or null, got 'X'"),
        ({"split": "dev"}, r"split: expected train, val, test, trainval or null, got 'dev'"),
        ({"age": -1.0}, r"age: expected 0 to 120 years, got -1\.0"),
        ({"age": 121.0}, r"age: expected 0 to 120 years, got 121\.0"),
        ({"age": float("nan")}, r"age: expected 0 to 120 years, got nan"),
        ({"visit": -1}, r"visit: expected 0 or more, got -1"),
        ({"visit": None}, r"visit: expected 0 or more, got None"),
        ({"Edema": 2}, r"Edema: expected 1, 0, -1 or null, got 2"),
        ({"file": "../a.png"}, r"file: expected a path below the source's folder.* got '\.\./a\.p"),
        ({"file": "/a.png"}, r"file: expected a path below the source's folder"),
        (box(w=0.0), r"row 2 \(i1\): box: expected finite x and y from 0.*'Edema', 0\.0, 0\.0, 0"),
        (box(x=-0.5), r"box: expected finite x and y from 0"),
        (box(y=float("nan")), r"box: expected finite x and y from 0"),
        (box(h=float("inf")), r"box: expected finite x and y from 0"),
        (box(h=None), r"box: expected finite x and y from 0"),
        (box(finding="Mass"), r"box: expected a finding of this source \(Edema\), got \['Mass'"),
        (box(finding=None), r"box: expected a finding of this source"),
        ({"study_id": "s0"}, r"row 1 \(i0\): study_id: expected a study to have one patient, got"),
        (
            {"study_id": "s0", "patient_id": "p0", "visit": 1},
            r"a study to have one visit, got 's0'",
        ),
    ],
)
def test_a_row_that_breaks_the_contract_is_named(change: dict[str, Any], message: str) -> None:
    with pytest.raises(SourceError, match=message):
        check(listing_of({}, change))


def test_equal_image_ids_clash() -> None:
    with pytest.raises(ClashError, match=r"folder: row 1 \(i0\): 2 rows share their image_id with"):
        check(listing_of({}, {"image_id": "i0"}))


@pytest.mark.parametrize("other", ["val", "test", "trainval", None])
def test_a_patient_in_two_splits_is_a_leak(other: str | None) -> None:
    with pytest.raises(LeakError, match=r"patient 'p0' has images in .*; give all images of a pat"):
        check(listing_of({}, {"patient_id": "p0", "split": other}))


@pytest.mark.parametrize(
    "changes",
    [
        ({}, {"patient_id": "MRN-1\n"}),
        ({"image_id": "MRN-1"}, {"image_id": "MRN-1"}),
        ({"patient_id": "MRN-1"}, {"patient_id": "MRN-1", "split": "test"}),
        ({"patient_id": "MRN-1", "image_id": "MRN-2", "age": 999.0},),
    ],
)
def test_messages_about_dicom_files_name_the_row_alone(changes: Sequence[dict[str, Any]]) -> None:
    with pytest.raises(HilumError) as caught:
        check(listing_of(*changes, source="dicom"))
    assert "MRN" not in str(caught.value)


def test_other_columns_or_types_are_refused() -> None:
    good = listing_of({})
    for frame in (
        good.frame.drop("boxes"),
        good.frame.with_columns(pl.col("visit").cast(pl.Int64)),
        good.frame.select(reversed(good.frame.columns)),
    ):
        with pytest.raises(SourceError, match=r"folder: expected the columns .*, got "):
            check(replace(good, frame=frame))


def test_an_empty_listing_is_refused() -> None:
    with pytest.raises(
        SourceError, match="folder: expected at least one image, got an empty table"
    ):
        check(listing_of())


def test_arrange_fills_what_a_reader_did_not_make() -> None:
    frame = arrange(pl.DataFrame({"image_id": ["a"], "visit": [3], "Edema": [1]}), ("Edema",))
    assert dict(frame.schema) == schema(("Edema",))
    assert frame["boxes"].to_list() == [[]]
    assert frame["visit"].to_list() == [3]
    assert frame["file"].to_list() == [None]


def test_a_digest_tells_rows_columns_layouts_and_readings_apart(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    one = listing_of({}, {"Edema": 0}, {})
    said = pl.DataFrame({"image_id": ["i0"], "reader": ["R1"], "Edema": [1]})
    others = [
        listing_of({}, {"Edema": 1}, {}), listing_of({}, {"Edema": 0}),
        listing_of({}, {"Edema": 0}, {}, source="nih"), replace(one, readings=said),
        replace(one, readings=said.with_columns(Edema=0)),
    ]  # fmt: skip
    digests = [listing.digest() for listing in (one, *others)]
    assert len(set(digests)) == 6
    monkeypatch.setattr("hilum.sources.listing._DIGEST_ROWS", 2)  # in parts it is the same
    assert [listing.digest() for listing in (one, *others)] == digests


def test_a_path_of_an_unknown_image_says_how_many_there_are() -> None:
    listing = listing_of({})
    assert list(listing.paths(pl.Series(["i0"]))) == [Path("/source/x/a.png")]
    with pytest.raises(
        SourceError, match=r"no file is known for image 'z' in this folder listing of 1"
    ):
        listing.paths(pl.Series(["i0", "z"]))


@given(st.lists(st.tuples(st.sampled_from("pqr"), st.none() | st.integers(-5, 5)), max_size=12))
def test_visits_are_the_ranks_of_the_distinct_times(rows: list[tuple[str, int | None]]) -> None:
    frame = pl.DataFrame(rows, schema={"patient_id": pl.String, "time": pl.Int64}, orient="row")
    numbered, notes = number_visits(frame, "time")
    unordered = set()
    for (patient, time), visit in zip(rows, numbered["visit"], strict=True):
        times = {t for p, t in rows if p == patient}
        if None in times:
            assert visit == 0
            if sum(p == patient for p, _ in rows) > 1:
                unordered.add(patient)
        else:
            assert visit == sorted(times).index(time)  # type: ignore[type-var]
    assert bool(notes) == bool(unordered)
    assert not notes or f" {len(unordered)} patients " in notes[0]


@pytest.mark.parametrize(
    ("text", "years"),
    [
        ("58", 58.0),
        ("058Y", 58.0),
        ("58.5", 58.5),
        ("18m", 1.5),
        ("007D", 7 / 365.25),
        ("003W", 21 / 365.25),
        ("-1", None),
        ("Y", None),
        ("58 years", None),
        ("nan", None),
        (None, None),
    ],
)
def test_ages_worked_by_hand(text: str | None, years: float | None) -> None:
    found = pl.Series("text", [text], dtype=pl.String).to_frame().select(age_years(pl.col("text")))
    assert found.item() == (years if years is None else pytest.approx(years))


def test_implausible_ages_become_unknown_and_are_counted_without_the_unknown() -> None:
    ages, notes = plausible(pl.Series("age", [120.0, 120.1, None, 414.0]))
    assert ages.to_list() == [120.0, None, None, None]
    assert notes == ["2 ages above 120 years are unknown here"]
    assert plausible(pl.Series("age", [None, 1.0]))[1] == []


@given(st.text(max_size=5))
def test_only_six_texts_are_labels(text: str) -> None:
    found = pl.Series("text", [text]).to_frame().select(label(pl.col("text"))).item()
    known = {"1": 1, "1.0": 1, "0": 0, "0.0": 0, "-1": -1, "-1.0": -1}
    assert found == known.get(text)


def test_boxes_keep_their_order_and_rows_keep_theirs() -> None:
    frame = pl.DataFrame({"image_id": ["c", "a", "b"]})
    boxes = pl.DataFrame(
        {"image_id": ["a", "z", "c", "a"], "finding": ["one", "no", "two", "three"]}
    ).with_columns(pl.lit(1.0).alias(name) for name in "xywh")
    joined = attach(frame, boxes)
    assert joined["image_id"].to_list() == ["c", "a", "b"]
    assert joined["boxes"].dtype == pl.List(BOX)
    names = [[b["finding"] for b in boxes or []] for boxes in joined["boxes"].to_list()]
    assert names == [["two"], ["one", "three"], []]


def test_text_tables_keep_leading_zeros_and_make_blanks_null(tmp_path: Path) -> None:
    path = write(tmp_path, {"t.csv": 'id,x\r\n00012, \r\n,""\r\n" 7 ",NA\r\n'}) / "t.csv"
    table = read_text_table(path)
    assert table.columns == ("id", "x")
    assert table.frame.select("id", "x").rows() == [("00012", None), ("7", "NA")]
    assert table.where(1, "x") == "t.csv:4:x"


@given(
    cells=st.lists(
        st.tuples(*[st.text(st.sampled_from('a,"\n;'), max_size=4)] * 2), min_size=1, max_size=6
    )
)
def test_the_line_of_a_cell_is_where_its_record_starts(
    tmp_path_factory: pytest.TempPathFactory, cells: list[tuple[str, str]]
) -> None:
    path = tmp_path_factory.mktemp("t") / "t.csv"
    quoted = [['"' + cell.replace('"', '""') + '"' for cell in ("key", *row)] for row in cells]
    text, starts = "k,a,b\n", []
    for row in quoted:
        starts.append(text.count("\n") + 1)
        text += ",".join(row) + "\n"
    path.write_text(text, encoding="utf-8")
    table = read_text_table(path)
    assert [table.where(row, "a") for row in range(len(cells))] == [
        f"t.csv:{start}:a" for start in starts
    ]


def test_lines_are_numbered_and_tables_found_with_or_without_gz(tmp_path: Path) -> None:
    write(tmp_path, {"list.txt": "a\r\n\n  b c \nd", "x.csv.gz": b"", "bad.txt": b"\xff"})
    assert read_lines(tmp_path / "list.txt") == [(1, "a"), (3, "b c"), (4, "d")]
    assert find_table(tmp_path, ("w.csv", "x.csv")) == tmp_path / "x.csv.gz"
    assert find_table(tmp_path, ("w.csv",)) is None
    with pytest.raises(SourceError, match=r"bad\.txt: expected lines of UTF-8 text \(UnicodeDec"):
        read_lines(tmp_path / "bad.txt")


def test_a_walk_is_sorted_leaves_out_what_is_hidden_and_does_not_go_round(tmp_path: Path) -> None:
    root = write(tmp_path / "r", {"b/x.png": png(), "a.png": png(), ".git/c.png": png()})
    (root / "b/round").symlink_to(root)
    (root / "gone").symlink_to(root / "nothing")
    (root / "inside.png").symlink_to(root / "a.png")
    (root / "outside.png").symlink_to(write(tmp_path, {"o.png": png()}) / "o.png")
    tree = walk(root.resolve())
    assert tree.files == ("a.png", "b/x.png", "inside.png")
    assert tree.links_left_out == 3


def test_a_folder_that_may_not_be_read_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: str) -> None:
        raise PermissionError(path)

    monkeypatch.setattr("os.scandir", refuse)
    with pytest.raises(
        SourceError, match=r"a folder below it cannot be listed \(PermissionError\)"
    ):
        walk(tmp_path)


def test_locate_finds_names_at_any_depth(tmp_path: Path) -> None:
    write(tmp_path, {"b/c/x.png": png(), "a.png": png(), "e.png": png()})
    assert locate(tmp_path, ["a.png", "x.png"]) == (
        {"a.png": "a.png", "x.png": "b/c/x.png"},
        ["1 image files are not in the table and are left out"],
    )
