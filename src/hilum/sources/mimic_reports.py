"""Find and read the reports of MIMIC-CXR: one text file per study.

``mimic-cxr-reports.zip`` unpacks to ``files/p10/p10000032/s50414267.txt``: beside the images, or
somewhere else. A report that is missing or cannot be read costs its study the text and nothing
else; how many there are is said in a note. No text of a report is ever quoted.
"""

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from hilum.errors import SourceError
from hilum.progress import Progress
from hilum.reports.headings import FINDINGS
from hilum.reports.sections import impression, sections
from hilum.sources.files import is_there

_PLACES: Final = ("", "mimic-cxr-reports", "mimic-cxr-reports/mimic-cxr-reports")
_LARGEST: Final = 1 << 20  # bytes of one report; usual are 1,000


@dataclass(frozen=True)
class Texts:
    """What the reports of some studies say.

    Parameters
    ----------
    findings, impressions
        Study to the text of its section; studies without one are not in it.
    notes
        How many reports are missing, cannot be read or have neither section.
    """

    findings: dict[str, str]
    impressions: dict[str, str]
    notes: tuple[str, ...]


def read_reports(
    root: Path, elsewhere: Path | None, files: dict[str, str], progress: Progress
) -> Texts:
    """Read the reports of studies.

    Parameters
    ----------
    root
        The folder of the images, resolved.
    elsewhere
        The folder of the reports, if the user names one.
    files
        Study to ``p10/p10000032/s50414267.txt``.
    progress
        Told how many are read.

    Raises
    ------
    SourceError
        If the folder that the user names holds none of them.
    """
    folder = _folder(elsewhere.resolve() if elsewhere else root, files.values())
    if folder is None:
        if elsewhere:
            example = next(iter(files.values()))
            raise SourceError(
                f"{elsewhere}: expected MIMIC-CXR's reports, such as files/{example}; none is there"
            )
        return Texts({}, {}, ("no reports beside the images; name their folder with the option "
                              "reports (--reports)",))  # fmt: skip
    return _read(folder, files, progress)


def _folder(where: Path, files: Collection[str]) -> Path | None:
    """Return the folder that holds ``p10`` and so on, by the first report that is there."""
    for place in _PLACES:
        for folder in (where / place / "files", where / place):
            known: dict[str, bool] = {}
            if folder.is_dir() and any(is_there(folder, file, known) for file in files):
                return folder
    return None


def _read(folder: Path, files: dict[str, str], progress: Progress) -> Texts:
    findings: dict[str, str] = {}
    impressions: dict[str, str] = {}
    counts = dict.fromkeys(("missing", "unreadable", "unheaded", "nothing"), 0)
    known: dict[str, bool] = {}
    for done, (study, file) in enumerate(files.items(), start=1):
        said = _read_one(folder, file, known)
        if isinstance(said, str):
            counts[said] += 1
        else:
            if said.findings:
                findings[study] = said.findings
            if said.impression:
                impressions[study] = said.impression
            counts["unheaded"] += said.unheaded
            counts["nothing"] += not (said.findings or said.impression)
        progress(done, len(files))
    says = {
        "missing": "studies have no report",
        "unreadable": f"reports are not UTF-8 text of at most {_LARGEST:,} bytes: left out",
        "unheaded": "reports have neither findings nor an impression under a heading: their last "
        "paragraph is in report_findings",
        "nothing": "reports have nothing that tells what is seen",
    }
    notes = (f"{counts[kind]:,} {what}" for kind, what in says.items() if counts[kind])
    return Texts(findings, impressions, tuple(notes))


@dataclass(frozen=True)
class _Said:
    findings: str
    impression: str
    unheaded: bool = False


def _read_one(
    folder: Path, file: str, known: dict[str, bool]
) -> _Said | Literal["missing", "unreadable"]:
    if not is_there(folder, file, known):
        return "missing"
    text = _text(folder / file)
    return "unreadable" if text is None else _sections(text)


def _text(path: Path) -> str | None:
    try:
        with path.open("rb") as file:
            body = file.read(_LARGEST + 1)
        return body.decode() if len(body) <= _LARGEST else None
    except (OSError, UnicodeDecodeError):
        return None


def _sections(text: str) -> _Said:
    """Take findings and impression as they are headed, or else the last paragraph as findings."""
    headed = [part for part in sections(text).parts if part.name == FINDINGS and part.text]
    final = [part for part in headed if part.block == "report"]
    findings = "\n\n".join(part.text for part in final or headed)
    passage = impression(text)
    if passage.origin == "last paragraph":
        return _Said(passage.text, "", unheaded=True)
    return _Said(findings, passage.text if passage.origin == "impression" else "")
