"""OpenI: XML of strangers, three names for one image, headings as labels, 3,955 real reports."""

import gzip
import html
import io
import re
import tarfile
from collections import Counter
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hilum.errors import SourceError
from hilum.findings import FINDINGS as VOCABULARY
from hilum.sources import Listing, SourceOptions, openi_reports, read_source
from hilum.sources.openi_findings import FINDINGS, HEADINGS, values
from hilum.sources.openi_reports import Report, read_reports, short_name
from trees_reports import (
    OPENI_HEADER_ROWS,
    OPENI_HEADERS,
    OPENI_REPORTS,
    archive,
    openi,
    openi_report,
)
from trees_sources import lines, png, write

REPORTS_ALONE = SourceOptions(pixels=False)
ONE = ("CXR1_IM-0001-3001",)


def reports_of(root: Path, **texts: str) -> list[Report]:
    """Read reports given as ``r1="<xml>"``."""
    return read_reports(write(root, {f"ecgen-radiology/{n}.xml": t for n, t in texts.items()}))


def row_of(listing: Listing, image_id: str) -> dict[str, object]:
    return listing.frame.row(by_predicate=pl.col("image_id") == image_id, named=True)


# --------------------------------------------------------------------------- rows


def test_rows_worked_by_hand(tmp_path: Path) -> None:
    listing = read_source(openi(tmp_path), "openi")
    row = row_of(listing, "CXR1_1_IM-0001-4001")
    expected = {
        "patient_id": "CXR1",
        "study_id": "CXR1",
        "visit": 0,
        "view": "LATERAL",  # the header says PA; the image's looks count more
        "sex": None,
        "split": None,
        "file": "NLMCXR_png/1_IM-0001-4001.dcm.png",
        "report_findings": "The lungs are clear.",
        "report_impression": "Normal chest x-XXXX.",
        "No Finding": 1,
        "Cardiomegaly": 0,
    }
    assert {key: row[key] for key in expected} == expected
    assert row["age"] == pytest.approx(55.6, abs=0.01)  # 20 August 1955 to 28 March 2011
    other = row_of(listing, "CXR12_IM-0050-1001")
    told = {finding: other[finding] for finding in FINDINGS if other[finding] != 0}
    assert told == {"Cardiomegaly": -1, "Lung Opacity": 1}
    assert other["report_findings"] == "The heart is XXXX enlarged & the left base opaque."
    assert other["report_impression"] is None
    assert other["view"] == "AP"
    assert listing.notes == ("1 reports name no image and are left out",)


def test_reports_are_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    assert [report.uid for report in read_reports(openi(tmp_path))] == ["CXR1", "CXR7", "CXR12"]


def test_without_tables_views_and_ages_are_unknown_and_notes_say_so(tmp_path: Path) -> None:
    openi(tmp_path)
    (tmp_path / "nlmcxr_dicom_metadata.csv").unlink()
    (tmp_path / "nlmcxr_tsne_pa.csv").unlink()
    listing = read_source(tmp_path, "openi")
    assert listing.frame.select("view", "age").null_count().row(0) == (4, 4)
    assert listing.notes[1:] == (
        "no nlmcxr_dicom_metadata.csv: it would tell views and ages",
        "no nlmcxr_tsne_pa.csv: it would tell views",
    )


def test_the_archive_reads_as_the_folder_does(tmp_path: Path) -> None:
    folder = read_source(openi(tmp_path / "f"), "openi", REPORTS_ALONE)
    tables = {
        name: (tmp_path / "f" / name).read_bytes()
        for name in ("nlmcxr_dicom_metadata.csv", "nlmcxr_tsne_pa.csv")
    }
    gzipped = {f"{name}.gz": gzip.compress(body) for name, body in tables.items()}
    packed = write(tmp_path / "a", {"NLMCXR_reports.tgz": archive(OPENI_REPORTS), **gzipped})
    assert read_source(packed, "openi", REPORTS_ALONE).frame.equals(folder.frame)


# --------------------------------------------------------------------------- names of images


@pytest.mark.parametrize(
    ("name", "short"),
    [
        ("CXR1_1_IM-0001-3001", "1_IM-0001-3001"),
        ("CXR1_1_IM-0001-3001.png", "1_IM-0001-3001"),
        ("1_IM-0001-3001.dcm", "1_IM-0001-3001"),
        ("1_IM-0001-3001.dcm.png", "1_IM-0001-3001"),
        ("CXR3997_IM-2048-1001-0001.PNG", "3997_IM-2048-1001-0001"),
        ("CXR10_IM-0002-1001.jpeg", "10_IM-0002-1001"),
        ("CXR10_IM-0002-1001.txt", None),
        ("10_0002-1001.png", None),
        ("mask_10_IM-0002-1001.png", None),
        ("", None),
    ],
)
def test_names_of_images_worked_by_hand(name: str, short: str | None) -> None:
    assert short_name(name) == short


@given(
    uid=st.integers(1, 9999),
    numbers=st.lists(st.integers(0, 9999), min_size=2, max_size=3),
    doubled=st.booleans(),
)
def test_all_names_of_an_image_are_one(uid: int, numbers: list[int], doubled: bool) -> None:
    plain = f"{uid}_IM-" + "-".join(f"{number:04}" for number in numbers)
    named = f"CXR{uid}_{plain}" if doubled else f"CXR{plain}"
    ways = (named, f"{named}.png", f"{plain}.dcm", f"{plain}.dcm.png", plain)
    assert {short_name(way) for way in ways} == {plain}


def test_a_missing_file_is_rejected_and_one_there_twice_is_an_error(tmp_path: Path) -> None:
    openi(tmp_path)
    (tmp_path / "NLMCXR_png/12_IM-0050-1001.dcm.png").unlink()
    listing = read_source(tmp_path, "openi")
    assert [(r.name, r.reason) for r in listing.rejected] == [("CXR12_IM-0050-1001", "missing")]
    assert listing.frame.height == 3
    write(tmp_path, {"NLMCXR_dcm/1/1_IM-0001-3001.dcm": b""})
    with pytest.raises(SourceError, match=r"1_IM-0001-3001: found twice, as NLMCXR_dcm/1/1_IM-00"):
        read_source(tmp_path, "openi")


def test_reports_without_any_image_file_are_an_error_that_says_how_to_list_them(
    tmp_path: Path,
) -> None:
    write(tmp_path, {"ecgen-radiology/1.xml": openi_report(1, ONE), "other.png": png()})
    with pytest.raises(
        SourceError, match=r"1 of 1 image files are missing: 1_IM-0001-3001; .*--no-pi"
    ):
        read_source(tmp_path, "openi")
    assert len(read_source(tmp_path, "openi", REPORTS_ALONE)) == 1


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        (
            "nlmcxr_dicom_metadata.csv",
            lines("imageid,View Position"),
            r"a column 'Study Date' and \"Pat",
        ),
        ("nlmcxr_tsne_pa.csv", lines("imageid,view"), r"tsne_pa\.csv:1: expected a column 'tsne-v"),
        (
            "nlmcxr_tsne_pa.csv",
            lines("imageid,tsne-view", "CXR1_IM-0001-3001,L", "CXR1_1_IM-0001-3001,PA"),
            r"nlmcxr_tsne_pa\.csv:3:imageid: '1_IM-0001-3001' has a line already; keep one of them",
        ),
        (
            "nlmcxr_tsne_pa.csv",
            lines("imageid,tsne-view", "one,L"),
            r"nlmcxr_tsne_pa\.csv:2:imageid: expected an image id such as CXR1_1.* got 'one'",
        ),
        (
            "nlmcxr_dicom_metadata.csv",
            lines(OPENI_HEADERS, OPENI_HEADER_ROWS[0].replace("1955", "195")),
            r"csv:2:Patient's Birth Date: expected a date such as 20110328, got '1950820'",
        ),
    ],
)
def test_a_table_that_cannot_be_read_is_named(
    tmp_path: Path, name: str, text: str, message: str
) -> None:
    write(openi(tmp_path), {name: text})
    with pytest.raises(SourceError, match=message):
        read_source(tmp_path, "openi")


# --------------------------------------------------------------------------- headings


@pytest.mark.parametrize(
    ("headings", "meaning"),
    [
        (("normal",), {"No Finding": 1, "Edema": 0}),
        (("Pulmonary Atelectasis/base/left",), {"Atelectasis": 1, "No Finding": 0, "Edema": 0}),
        (("Cardiac Shadow/enlarged/mild",), {"Cardiomegaly": 1}),
        (("Cardiac Shadow/obscured",), {"Cardiomegaly": 0}),
        (("Cardiac Shadow/borderline",), {"Cardiomegaly": -1}),
        (("Cardiomegaly/borderline",), {"Cardiomegaly": -1, "No Finding": 0}),
        (("Cardiomegaly/borderline", "Cardiac Shadow/enlarged"), {"Cardiomegaly": 1}),
        (("Opacity/lung/base/left",), {"Lung Opacity": 1}),
        (("Opacity/ribs/left",), {"Lung Opacity": 0}),
        (("Mass/breast/large",), {"Mass": 0}),
        (("Mass/lung/hilum/right",), {"Mass": 1}),
        (("Thickening/pleura/apex",), {"Pleural Thickening": 1}),
        (("Thickening/bronchi",), {"Pleural Thickening": 0}),
        (("Subcutaneous Emphysema/neck",), {"Emphysema": 0}),
        (("Pericardial Effusion",), {"Pleural Effusion": 0}),
        (("Hydropneumothorax/right",), {"Pleural Effusion": 1, "Pneumothorax": 1}),
        (("Fractures, Bone/ribs/healed",), {"Fracture": 1}),
        (("No Indexing",), {"No Finding": None, "Edema": None}),
        (("Technical Quality of Image Unsatisfactory ",), {"No Finding": None, "Edema": None}),
        (("Technical Quality of Image Unsatisfactory ", "Nodule"), {"Nodule": 1, "Edema": 0}),
        ((), {"No Finding": None, "Edema": None}),
    ],
)  # fmt: skip
def test_what_headings_mean(headings: tuple[str, ...], meaning: dict[str, int | None]) -> None:
    found = dict(zip(FINDINGS, values(headings), strict=True))
    assert meaning.items() <= found.items()


def test_headings_name_findings_of_the_vocabulary() -> None:
    assert set(HEADINGS) <= set(VOCABULARY)


# --------------------------------------------------------------------------- strangers' XML

LAUGHS = (
    '<?xml version="1.0"?><!DOCTYPE e [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;">]>'
    '<eCitation><uId id="CXR1"/>&b;</eCitation>'
)
FILE = '<!DOCTYPE e [<!ENTITY a SYSTEM "file:///etc/passwd">]><eCitation>&a;</eCitation>'


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (LAUGHS, r"^r\.xml: expected XML without a document type; it is refused$"),
        (FILE, r"^r\.xml: expected XML without a document type"),
        ("<!DOCTYPE eCitation><eCitation/>", r"^r\.xml: expected XML without a document type"),
        ("<eCitation>\n&secret;</eCitation>", r"^r\.xml:2: expected well-formed XML$"),
        ("<eCitation><uId id='CXR1'></eCitation>", r"^r\.xml:1: expected well-formed XML$"),
        ("", r"^r\.xml:1: expected well-formed XML$"),
        ('<?xml version="1.0" encoding="big5"?><eCitation/>', r"^r\.xml:1: expected XML in UTF-8"),
        ('<?xml version="1.0" encoding="none"?><eCitation/>', r"^r\.xml:1: expected XML in UTF-8"),
        ("<eCitation/>", r"^r\.xml: expected an id such as <uId id='CXR1'/>"),
        ("<eCitation><uId id='../1'/></eCitation>", r"^r\.xml: expected an id such as"),
        (openi_report(1, ("../../etc/passwd",)), r"^r\.xml: expected image ids such as CXR1_1_IM"),
        (openi_report(1, (f"CXR1_IM-0001-{'1' * 99}x",)), r"got 'CXR1_IM-0001-1{67}'$"),
        (
            f"<eCitation>{' ' * (1 << 20)}</eCitation>",
            r"^r\.xml: expected a report of at most 1,04",
        ),
    ],
)
def test_xml_that_is_no_report_is_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(SourceError, match=message):
        reports_of(tmp_path, r=text)


@given(
    at=st.integers(0, 500),
    cut=st.integers(0, 30),
    filling=st.binary(max_size=12) | st.sampled_from([b"<", b"&#0;", b"]]>", b"\xff\xfe", b"<!"]),
)
@settings(max_examples=150)
def test_a_damaged_report_is_read_or_refused_in_our_words(
    tmp_path_factory: pytest.TempPathFactory, at: int, cut: int, filling: bytes
) -> None:
    whole = OPENI_REPORTS["12.xml"].encode()
    body = whole[:at] + filling + whole[at + cut :]
    root = write(tmp_path_factory.mktemp("x"), {"ecgen-radiology/r.xml": body})
    try:
        (report,) = read_reports(root)
    except SourceError as error:
        assert str(error).startswith("r.xml:")  # noqa: PT017 (both ways are right)
    else:
        assert all(short_name(image) for image in report.images)
        values(report.headings)


def test_a_message_never_quotes_a_report(tmp_path: Path) -> None:
    broken = openi_report(1, ONE, findings="John Doe has a nodule").replace("</Article>", "")
    with pytest.raises(SourceError) as caught:
        reports_of(tmp_path, r=broken)
    assert "Doe" not in str(caught.value)


def test_texts_with_markup_comments_and_several_parts_are_whole(tmp_path: Path) -> None:
    text = openi_report(1, ONE, findings="A <!-- no --><b>large</b> nodule, 3 &lt; 4 cm.")
    text = text.replace(
        "</Abstract>", '<AbstractText Label="FINDINGS"> And more. </AbstractText></Abstract>'
    )
    (report,) = reports_of(tmp_path, r=text)
    assert report.findings == "A large nodule, 3 < 4 cm. And more."
    assert report.impression is None
    assert report.headings == ("normal",)


def test_two_reports_of_one_number_and_no_report_are_errors(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"1 reports have the number of another; keep one of ea"):
        reports_of(tmp_path / "a", r1=openi_report(1), r2=openi_report(1))
    (tmp_path / "b/ecgen-radiology").mkdir(parents=True)
    with pytest.raises(SourceError, match=r"expected XML reports, found none in ecgen-radiology"):
        read_reports(tmp_path / "b")


def test_an_archive_is_read_and_never_unpacked(tmp_path: Path) -> None:
    body = io.BytesIO()
    with tarfile.open(fileobj=body, mode="w:gz") as tar:
        for name, kind in (
            *(("../out.xml", tarfile.REGTYPE), ("link.xml", tarfile.SYMTYPE)),
            *(("pipe.xml", tarfile.FIFOTYPE), ("._1.xml", tarfile.REGTYPE)),
        ):
            member = tarfile.TarInfo(name)
            member.type, member.linkname = kind, "/etc/passwd"
            text = openi_report(5, ONE).encode() if name == "../out.xml" else b""
            member.size = len(text)
            tar.addfile(member, io.BytesIO(text))
    root = write(tmp_path / "root", {"NLMCXR_reports.tgz": body.getvalue()})
    assert [report.uid for report in read_reports(root)] == ["CXR5"]
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["NLMCXR_reports.tgz", "root"]


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (archive(OPENI_REPORTS)[:300], "EOFError"),
        (b"no archive", "BadGzipFile"),
        (gzip.compress(b"no archive", mtime=0), "ReadError"),
    ],
    ids=["cut short", "no gzip", "no tar"],
)
def test_a_damaged_archive_is_refused(tmp_path: Path, body: bytes, kind: str) -> None:
    write(tmp_path, {"NLMCXR_reports.tgz": body})
    with pytest.raises(
        SourceError, match=rf"NLMCXR_reports\.tgz: expected a gzipped tar archive \({kind}\)"
    ):
        read_reports(tmp_path)


def test_an_archive_that_unpacks_to_too_much_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(openi_reports, "_LARGEST_ARCHIVE", 30_000)
    bomb = archive({**OPENI_REPORTS, "movie.avi": " " * 100_000})
    write(tmp_path, {"NLMCXR_reports.tgz": bomb})
    with pytest.raises(SourceError, match=r"holds more than 30,000 bytes: not OpenI's"):
        read_reports(tmp_path)


# --------------------------------------------------------------------------- the real reports


@pytest.fixture(scope="module")
def real(data_dir: Path) -> list[Report]:
    return read_reports(data_dir / "openi-reports")


def test_the_real_reports_have_their_published_counts(real: list[Report]) -> None:
    assert len(real) == 3955
    both = Counter((bool(report.findings), bool(report.impression)) for report in real)
    assert both == {
        (True, True): 3419,
        (False, False): 28,
        (False, True): 530 - 28,
        (True, False): 34 - 28,
    }
    images = Counter(len(report.images) for report in real)
    assert images == {0: 104, 1: 446, 2: 3208, 3: 181, 4: 15, 5: 1}
    assert len({short_name(image) for report in real for image in report.images}) == 7470
    said = [f"{report.findings} {report.impression}" for report in real]
    assert sum("XXXX" in text for text in said) == 1855


def test_the_real_headings_have_their_published_counts(real: list[Report]) -> None:
    roots = Counter(heading.split("/")[0] for report in real for heading in report.headings)
    assert len(roots) == 122
    assert roots["normal"] == 1391
    assert roots["No Indexing"] == 95
    for root, count in (("Lung", 568), ("Opacity", 536), ("Cardiomegaly", 375),
                        ("Pulmonary Atelectasis", 347), ("Calcified Granuloma", 284)):  # fmt: skip
        assert roots[root] == count


def test_the_real_archive_is_listed_without_images(data_dir: Path) -> None:
    listing = read_source(data_dir / "openi-reports", "openi", REPORTS_ALONE)
    assert (len(listing), listing.frame["patient_id"].n_unique()) == (7470, 3955 - 104)
    assert "104 reports name no image and are left out" in listing.notes
    assert "28 reports have neither findings nor an impression" in listing.notes
    assert listing.frame["report_findings"].str.strip_chars().ne("").all()


def test_the_real_reports_read_as_a_plain_search_of_their_text_reads_them(
    real: list[Report], data_dir: Path
) -> None:
    bodies: dict[str, str] = {}
    with tarfile.open(data_dir / "openi-reports" / "NLMCXR_reports.tgz") as tar:
        for member in tar:
            file = tar.extractfile(member)
            if file and member.name.endswith(".xml"):
                text = file.read().decode()
                bodies[re.findall(r'<uId id="(.*?)"', text)[0]] = text
    labels = {
        report.uid: dict(zip(FINDINGS, values(report.headings), strict=True)) for report in real
    }
    for report in real:
        text = bodies[report.uid]
        for label, found in (("FINDINGS", report.findings), ("IMPRESSION", report.impression)):
            (said,) = re.findall(rf'<AbstractText Label="{label}"(?:/>|>(.*?)</)', text)
            assert html.unescape(said).strip() == (found or "")
        assert report.images == tuple(re.findall(r'<parentImage id="(.*?)"', text))
        majors = "".join(re.findall(r"<major>.*?</major>", text))
        known = labels[report.uid]
        if known["Atelectasis"] is not None:
            assert known["Atelectasis"] == ("<major>Pulmonary Atelectasis" in majors)
            assert known["Nodule"] == ("<major>Nodule" in majors)
            assert known["Lung Opacity"] == bool(
                re.search(r"<major>(Airspace Disease|Opacity/([^<]*/)?lung[/<])", majors)
            )


def test_the_real_tables_of_views_replace_and_fill(data_dir: Path) -> None:
    folder = data_dir / "openi-reports"
    if not (folder / "nlmcxr_tsne_pa.csv.gz").is_file():
        pytest.skip(f"TorchXRayVision's tables of OpenI are not in {folder}")
    frame = read_source(folder, "openi", REPORTS_ALONE).frame
    assert dict(frame["view"].value_counts().iter_rows()) == {
        "PA": 4685, "LATERAL": 1320, "AP": 259, None: 1206,
    }  # fmt: skip
    assert frame["age"].null_count() == 1
