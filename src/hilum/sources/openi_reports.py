"""Indiana University's radiology reports, as the National Library of Medicine gives them (OpenI).

One XML file per report, in a folder or in the archive ``NLMCXR_reports.tgz``, which is read without
being unpacked. Both are input like any other: a document type (and so any entity) is refused, and
sizes have limits.
"""

import gzip
import re
import tarfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from io import BufferedReader, RawIOBase
from pathlib import Path
from typing import IO, TYPE_CHECKING, Final
from xml.etree.ElementTree import Element, TreeBuilder
from xml.parsers import expat

from hilum.errors import SourceError

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

_FOLDERS: Final = ("ecgen-radiology", "NLMCXR_reports/ecgen-radiology", "NLMCXR_reports")
_ARCHIVES: Final = ("NLMCXR_reports.tgz", "NLMCXR_reports.tar.gz")
_LARGEST_REPORT: Final = 1 << 20  # bytes; the largest of the real ones has 8,967
_LARGEST_ARCHIVE: Final = 1 << 28  # bytes, unpacked; the real one has 24 million
_IMAGE: Final = re.compile(r"(?:CXR)?(\d+)_(?:\d+_)?(IM(?:-\d+)+)")
_FILE: Final = re.compile(_IMAGE.pattern + r"(?:\.dcm)?\.(?:png|jpe?g|dcm|dicom)", re.IGNORECASE)


@dataclass(frozen=True)
class Report:
    """One report.

    Parameters
    ----------
    uid
        ``"CXR1"``.
    images
        Ids of its images, ``"CXR1_1_IM-0001-3001"``; there may be none.
    findings, impression
        Text of the sections of these names; None where empty. ``XXXX`` stands for what was removed
        to hide identities.
    headings
        MeSH headings of the indexers, as written but for spaces at the ends.
    """

    uid: str
    images: tuple[str, ...]
    findings: str | None
    impression: str | None
    headings: tuple[str, ...]


def read_reports(root: Path) -> list[Report]:
    """Read every report of a folder or archive, in the order of their numbers.

    Raises
    ------
    SourceError
        If there are none, or one cannot be read; the message names the file and quotes no text.
    """
    reports = [_report(name, body) for name, body in _documents(root)]
    repeated = len(reports) - len({report.uid for report in reports})
    if repeated:
        raise SourceError(
            f"{root}: {repeated} reports have the number of another; keep one of each"
        )
    if not reports:
        raise SourceError(f"{root}: expected XML reports, found none in {_FOLDERS[0]}")
    return sorted(reports, key=lambda report: int(report.uid.removeprefix("CXR")))


def short_name(image: str) -> str | None:
    """Return what all names of one image have in common, or None if it is no image of OpenI.

    The reports say ``CXR1_1_IM-0001-3001``, the DICOM files ``1_IM-0001-3001.dcm``, and a copy
    that many use ``1_IM-0001-3001.dcm.png``.

    >>> short_name("CXR1_1_IM-0001-3001"), short_name("1_IM-0001-3001.dcm.png")
    ('1_IM-0001-3001', '1_IM-0001-3001')
    """
    found = _IMAGE.fullmatch(image) or _FILE.fullmatch(image)
    return f"{found[1]}_{found[2].upper()}" if found else None


# --------------------------------------------------------------------------- where they are


def _documents(root: Path) -> Iterator[tuple[str, bytes]]:
    """Give each report's file name and bytes."""
    folder = next((root / name for name in _FOLDERS if (root / name).is_dir()), None)
    archive = next((root / name for name in _ARCHIVES if (root / name).is_file()), None)
    if folder:
        yield from _of_folder(folder)
    elif archive:
        yield from _of_archive(archive)
    else:
        raise SourceError(
            f"{root}: expected OpenI's reports, as {_FOLDERS[0]}/*.xml or as {_ARCHIVES[0]}"
        )


def _of_folder(folder: Path) -> Iterator[tuple[str, bytes]]:
    for path in sorted(folder.glob("*.xml")):
        if not path.name.startswith(".") and path.is_file():
            with path.open("rb") as file:
                yield path.name, _whole(path.name, file)


def _of_archive(path: Path) -> Iterator[tuple[str, bytes]]:
    try:
        with (
            gzip.open(path) as stream,
            tarfile.open(fileobj=BufferedReader(_Limited(stream)), mode="r|") as archive,
        ):
            for member in archive:
                name = member.name.rpartition("/")[2]
                file = archive.extractfile(member) if member.isfile() else None
                if file and name.endswith(".xml") and not name.startswith("."):
                    yield name, _whole(name, file)
    except (tarfile.TarError, OSError, EOFError, zlib.error) as error:
        kind = type(error).__name__
        raise SourceError(f"{path.name}: expected a gzipped tar archive ({kind})") from error


def _whole(name: str, file: IO[bytes]) -> bytes:
    body = file.read(_LARGEST_REPORT + 1)
    if len(body) > _LARGEST_REPORT:
        raise SourceError(f"{name}: expected a report of at most {_LARGEST_REPORT:,} bytes")
    return body


class _Limited(RawIOBase):
    """A stream that ends in an error when more is read than any archive of reports holds."""

    def __init__(self, stream: gzip.GzipFile) -> None:
        self._stream, self._left = stream, _LARGEST_ARCHIVE

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "WriteableBuffer") -> int:
        view = memoryview(buffer).cast("B")
        block = self._stream.read(min(len(view), 1 << 16))
        self._left -= len(block)
        if self._left < 0:
            raise SourceError(
                f"the archive of reports holds more than {_LARGEST_ARCHIVE:,} bytes: not OpenI's"
            )
        view[: len(block)] = block
        return len(block)


# --------------------------------------------------------------------------- what they say


def _report(name: str, body: bytes) -> Report:
    root = _parse(name, body)
    uid = root.find("uId")
    number = uid.get("id", "") if uid is not None else ""
    if not re.fullmatch(r"CXR\d{1,9}", number):
        raise SourceError(
            f"{name}: expected an id such as <uId id='CXR1'/>, as OpenI's reports have"
        )
    images = tuple(image.get("id", "") for image in root.iter("parentImage"))
    strange = [image for image in images if short_name(image) is None]
    if strange:
        raise SourceError(
            f"{name}: expected image ids such as CXR1_1_IM-0001-3001, got {strange[0][:80]!r}"
        )
    headings = (_text(major) for major in root.iterfind("MeSH/major"))
    return Report(
        uid=number,
        images=images,
        findings=_section(root, "FINDINGS"),
        impression=_section(root, "IMPRESSION"),
        headings=tuple(heading for heading in headings if heading),
    )


def _section(root: Element, label: str) -> str | None:
    texts = (_text(part) for part in root.iter("AbstractText") if part.get("Label") == label)
    return " ".join(text for text in texts if text) or None


def _text(element: Element) -> str:
    return "".join(element.itertext()).strip()


def _parse(name: str, body: bytes) -> Element:
    """Parse XML without a document type, in which entities are declared that blow a file up."""
    builder = TreeBuilder()
    parser = expat.ParserCreate()
    parser.StartElementHandler = builder.start
    parser.EndElementHandler = builder.end
    parser.CharacterDataHandler = builder.data
    parser.StartDoctypeDeclHandler = _refuse_doctype
    try:
        parser.Parse(body, True)
    except _DoctypeError:
        raise SourceError(f"{name}: expected XML without a document type; it is refused") from None
    except expat.ExpatError as error:
        raise SourceError(f"{name}:{error.lineno}: expected well-formed XML") from error
    except (ValueError, LookupError) as error:
        raise SourceError(f"{name}:1: expected XML in UTF-8, got another encoding") from error
    return builder.close()


class _DoctypeError(Exception):
    pass


def _refuse_doctype(*_: object) -> None:
    raise _DoctypeError
