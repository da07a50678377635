"""Tables: what is read, what comes back, and what is refused and in which words."""

import gzip
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hilum.errors import TableError
from hilum.tables import Table, align, read_columns, read_table, write_table

cells = st.one_of(st.just(float("nan")), st.floats(allow_nan=False, allow_infinity=False))
names = st.text(
    st.characters(codec="utf-8", exclude_categories=("Cs", "Cc")), min_size=1, max_size=8
)


def written(tmp_path: Path, text: str | bytes) -> Path:
    path = tmp_path / "table.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_a_table_is_read_by_name(tmp_path: Path) -> None:
    text = "note,effusion,Image Index,Edema\nfirst,1,a.png,\nsecond,-1.0, b.png,0.25\n"
    table = read_table(written(tmp_path, text), "Image Index", extra=["note"])
    assert table.ids == ("a.png", " b.png")  # ids are never altered
    assert table.findings == ("Pleural Effusion", "Edema")
    np.testing.assert_array_equal(table.values, [[1, np.nan], [-1, 0.25]])
    assert table.extra == {"note": ("first", "second")}


def test_named_findings_come_in_the_order_asked_for_and_need_no_vocabulary(
    tmp_path: Path,
) -> None:
    path = written(tmp_path, "image_id,Edema,Scoliosis,Effusion\na,1,0,1\n")
    table = read_table(path, findings=["Effusion", "Scoliosis"])
    assert table.findings == ("Pleural Effusion", "Scoliosis")
    assert table.values.tolist() == [[1, 0]]
    assert read_table(path).findings == ("Edema", "Pleural Effusion")


def test_a_prefix_tells_findings_from_other_columns(tmp_path: Path) -> None:
    path = written(tmp_path, "image_id,prob_Edema,Edema\na,0.5,1\n")
    assert read_table(path, prefix="prob_").values.tolist() == [[0.5]]


@pytest.mark.parametrize(
    "text",
    [
        b"\xef\xbb\xbfimage_id,Edema\r\na,1\r\n\r\nb,0\r\n",
        b'"image_id","Edema"\n"a","1"\n"b"," 0 "',
        gzip.compress(b"image_id,Edema\na,1\nb,0\n", mtime=0),
    ],
    ids=["byte-order mark and blank line", "quotes and no last newline", "gzip"],
)
def test_csv_as_other_programs_write_it(tmp_path: Path, text: bytes) -> None:
    path = written(tmp_path, text)
    table = read_table(path)
    assert (table.ids, table.values.tolist()) == (("a", "b"), [[1], [0]])
    assert read_columns(path) == ("image_id", "Edema")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"table\.csv: the file is empty"),
        ("image_id,Edema\n", r"table\.csv: the table has a header but no rows"),
        ("image_id,Edema\n\n\n", r"has a header but no rows"),
        ("image_id,Edema\na,1\n\na,0\n", r"csv:4:image_id: the id 'a' is already on line 2"),
        ("image_id,Edema\na,1\n,0\n", r"csv:3:image_id: expected an id, got an empty cell"),
        ('image_id,Edema\na,1\n"",0\n', r"csv:3:image_id: expected an id, got an empty cell"),
        ("image_id,Edema\na,yes\n", r"csv:2:Edema: expected a finite number .* got 'yes'"),
        ("image_id,Edema\na,NaN\n", r"csv:2:Edema: expected a finite .* got 'NaN'; leave a cell"),
        ("image_id,Edema\na,-inf\n", r"csv:2:Edema: expected a finite number .* got '-inf'"),
        ("image_id,Edema\na,1e999\n", r"csv:2:Edema: expected a finite number .* got '1e999'"),
        ('image_id,Edema\n"a\nb",1\nc,x\n', r"csv:4:Edema: .* got 'x'"),
        ("Study,Edema\na,1\n", r"no column 'image_id'; the columns are Study, Edema"),
        ("image_id,image_id,Edema\na,b,1\n", r"more than one column 'image_id'"),
        ("image_id,Edema,oedema\na,1,1\n", r"the columns 'Edema' and 'oedema' are both 'Edema'"),
        ("image_id,age\na,1\n", r"no column is a finding; the columns are image_id, age"),
        ("image_id,Edema,Mass\na,1\n", r"csv:2: expected 3 cells as in the header, got 2"),
        ("image_id,Edema\na,1\nb,1,0\n", r"csv:3: expected 2 cells as in the header, got 3"),
        (b"image_id,Edema\n\xff\xfe,1\n", r"not a CSV file in UTF-8"),
        (b"\x1f\x8b\x08broken", r"table\.csv: cannot be read"),
        (gzip.compress(b"image_id,Edema\na,1\n", mtime=0)[:-9], r"table\.csv: cannot be read"),
    ],
)
def test_a_wrong_table_is_refused_where_it_is_wrong(
    tmp_path: Path, text: str | bytes, message: str
) -> None:
    with pytest.raises(TableError, match=message):
        read_table(written(tmp_path, text))


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(TableError, match=r"none\.csv: cannot be read: .*No such file"):
        read_table(tmp_path / "none.csv")


def test_a_finding_that_the_file_lacks(tmp_path: Path) -> None:
    path = written(tmp_path, "image_id,Edema\na,1\n")
    with pytest.raises(TableError, match=r"no column for the finding 'Mass'; .* image_id, Edema"):
        read_table(path, findings=["Mass"])
    with pytest.raises(TableError, match="finding 'Edema' is there more than once"):
        read_table(path, findings=["Edema", "oedema"])
    with pytest.raises(TableError, match="no column 'sex'"):
        read_table(path, extra=["sex"])


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    rows=st.dictionaries(names, st.tuples(cells, cells, st.none() | st.text("ab,\"\n ")),
                         min_size=1, max_size=6),
    suffix=st.sampled_from([".csv", ".csv.gz"]),
)  # fmt: skip
def test_writing_and_reading_gives_the_table_back(
    tmp_path: Path, rows: dict[str, tuple[float, float, str | None]], suffix: str
) -> None:
    first, second, note = zip(*rows.values(), strict=True)
    table = Table(
        tuple(rows), ("Edema", "Mass"), np.array([first, second]).T, {"note, odd": tuple(note)}
    )
    path = tmp_path / f"table{suffix}"
    write_table(table, path)
    again = read_table(path, extra=["note, odd"])
    assert (again.ids, again.findings, again.extra) == (table.ids, table.findings, table.extra)
    np.testing.assert_array_equal(again.values, table.values)


def test_labels_are_written_as_a_person_would(tmp_path: Path) -> None:
    write_table(Table(("a", "b"), ("Edema",), np.array([[1], [np.nan]])), tmp_path / "t.csv")
    assert (tmp_path / "t.csv").read_text() == "image_id,Edema\na,1\nb,\n"


def test_a_table_without_rows_or_with_a_name_twice_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(TableError, match="a table needs rows, and every row an id"):
        write_table(Table((), ("Edema",), np.empty((0, 1))), tmp_path / "t.csv")
    with pytest.raises(TableError, match="column 'Edema' is there more than once"):
        write_table(Table(("a",), ("Edema",), np.ones((1, 1))), tmp_path / "t.csv", "Edema")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("ids", "findings", "values", "message"),
    [
        (("a", "a"), ("Edema",), [[1], [0]], "id 'a' is there more than once"),
        (("a",), ("Edema", "Edema"), [[1, 0]], "finding 'Edema' is there more than once"),
        (("a",), ("Edema",), [[1, 0]], r"1 ids × 1 findings cannot hold values of shape \(1, 2\)"),
        (("a",), ("Edema",), [[np.inf]], "finite or NaN, 1 are infinite"),
    ],
)
def test_a_table_holds_what_it_says(
    ids: tuple[str, ...], findings: tuple[str, ...], values: list[list[float]], message: str
) -> None:
    with pytest.raises(TableError, match=message):
        Table(ids, findings, np.array(values))


def test_an_extra_column_has_a_cell_per_row() -> None:
    with pytest.raises(TableError, match="column 'sex' has 2 cells for 1 ids"):
        Table(("a",), ("Edema",), np.ones((1, 1)), {"sex": ("F", "M")})


def test_columns_and_rows_are_found_by_any_spelling_and_by_mask() -> None:
    table = Table(("a", "b"), ("Edema", "Mass"), np.array([[1, 2], [3, 4]]), {"sex": ("F", None)})
    assert table.column("oedema").tolist() == [1, 3]
    assert table.select(["mass"]).findings == ("Mass",)
    half = table.take([False, True])
    assert (len(half), half.ids, half.extra) == (1, ("b",), {"sex": (None,)})
    with pytest.raises(TableError, match="no finding 'Nodule' here; there are Edema, Mass"):
        table.column("Nodule")


def test_two_tables_are_joined_by_id_and_by_name() -> None:
    scores = Table(("c", "a", "b"), ("Mass", "Hernia", "Edema"), np.arange(9.0).reshape(3, 3))
    truth = Table(("a", "c"), ("Edema", "Mass", "Nodule"), np.array([[1, 0, 1], [0, 1, 0]]))
    both = align(scores, truth)
    assert both.scores.ids == both.truth.ids == ("a", "c")
    assert both.scores.findings == both.truth.findings == ("Edema", "Mass")
    assert both.scores.values.tolist() == [[5, 3], [2, 0]]
    assert (both.without_truth, both.unscored, both.without_labels) == (1, ("Nodule",), ("Hernia",))


def test_tables_that_do_not_match_are_refused() -> None:
    one = Table(("a",), ("Edema",), np.ones((1, 1)))
    more = Table(("b", "a", "c"), ("Edema",), np.ones((3, 1)))
    other = Table(("a",), ("Mass",), np.ones((1, 1)))
    none = Table((), ("Edema",), np.ones((0, 1)))
    with pytest.raises(TableError, match="2 of the truth's 3 ids have no score, the first is 'b'"):
        align(one, more)
    with pytest.raises(TableError, match="the scores have Edema, the truth has Mass"):
        align(one, other)
    with pytest.raises(TableError, match="the truth has no rows"):
        align(one, none)


def test_joining_by_position_would_have_been_wrong(data_dir: Path) -> None:
    folder = data_dir / "chexpert-test-labels"
    truth = read_table(folder / "groundtruth.csv", "Study")
    reader = read_table(folder / "benchmark_radiologists" / "bc4.csv", "Study")
    assert truth.findings != reader.findings
    both = align(reader, truth)
    called, present = both.scores.column("Lung Opacity"), both.truth.column("Lung Opacity")
    f1 = 2 * (called * present).sum() / (called.sum() + present.sum())
    assert round(float(f1), 4) == 0.8480


@pytest.mark.parametrize("content", [b"\xff\xfe\x00", b"\x1f\x8b broken"])
def test_a_header_that_cannot_be_read_is_an_error_of_the_table(
    tmp_path: Path, content: bytes
) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes(content)
    with pytest.raises(TableError, match=r"t\.csv: cannot be read: "):
        read_columns(path)
    with pytest.raises(TableError, match=r"cannot be read: .*No such file"):
        read_columns(tmp_path / "absent.csv")
