"""Write a synthetic hospital to a folder, in parallel, so that a killed run can go on.

Layout::

    OUT/phantom.json           settings, order of the findings, severities
    OUT/table.csv              one row per image
    OUT/boxes.csv              image_id, finding, x, y, w, h in pixels
    OUT/images/<image_id>.png  8-bit grey, or .dcm
    OUT/masks/<image_id>.png   16-bit, bit k set where finding k of phantom.json is
    OUT/parts/                 rows of finished patients while the run lasts

Every file is written beside its place and renamed, `phantom.json` first, a patient's part after
its images and the tables last: what exists is whole, and what is missing is made again.
"""

import json
import shutil
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
from threadpoolctl import threadpool_limits

from hilum.errors import UsageError
from hilum.files import replacing
from hilum.phantom.history import FINDINGS, NO_FINDING
from hilum.phantom.patient import Film, Patient, check, generate_patient
from hilum.progress import Progress, silent
from hilum.workers import processors

VERSION: Final = 1
"""Rises whenever the same seed gives other images."""


@dataclass(frozen=True)
class Settings:
    """What decides the content of a hospital; written to ``phantom.json``."""

    seed: int
    patients: int
    size: int
    dicom: bool
    version: int = VERSION


def write_hospital(
    out: Path | str,
    patients: int,
    size: int = 128,
    seed: int = 0,
    workers: int | None = None,
    dicom: bool = False,
    progress: Progress = silent,
) -> Path:
    """Write a synthetic hospital, or finish one that was begun with the same settings.

    Parameters
    ----------
    out
        The folder; made if absent.
    patients
        How many; about two images each.
    size
        Side of the images in pixels, 16 to 512.
    seed
        Patient `n` of a seed is the same in every hospital, whatever `patients` and `workers`.
    workers
        Processes; by default one per core this process may use. They are spawned, so a script
        that calls this needs an ``if __name__ == "__main__"``.
    dicom
        Write DICOM files instead of PNG.
    progress
        Called after every patient.

    Returns
    -------
    The folder.

    Raises
    ------
    UsageError
        If a number is out of range, or the folder holds something else.
    """
    out = Path(out)
    settings = Settings(seed, patients, size, dicom)
    if patients < 1:
        raise UsageError(f"a hospital needs at least 1 patient, got {patients}")
    if workers is not None and workers < 1:
        raise UsageError(f"workers must be at least 1, got {workers}")
    check(seed, patients, size)
    _claim(out, settings)
    if not (out / "table.csv").exists():
        _write_patients(out, settings, workers, progress)
        _write_tables(out, settings)
    shutil.rmtree(out / "parts", ignore_errors=True)
    return out


def _claim(out: Path, settings: Settings) -> None:
    """Make the folder ours, or refuse one that holds anything but this very hospital."""
    about = out / "phantom.json"
    if about.exists():
        found = json.loads(about.read_text(encoding="utf-8"))
        for name, wanted in asdict(settings).items():
            if found.get(name) != wanted:
                raise UsageError(
                    f"{out} holds a phantom with {name} {found.get(name)!r}, asked for {wanted!r}; "
                    "choose another folder, or the same settings to finish it"
                )
        return
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UsageError(f"{out} is not empty and holds no phantom; choose another folder")
    for folder in ("images", "masks", "parts"):
        (out / folder).mkdir(parents=True, exist_ok=True)
    _save(about, _json(asdict(settings) | {"findings": FINDINGS}))


def _write_patients(out: Path, settings: Settings, workers: int | None, progress: Progress) -> None:
    """Write every patient that has no part yet."""
    for folder in ("images", "masks", "parts"):
        (out / folder).mkdir(exist_ok=True)
    missing = [n for n in range(settings.patients) if not _part(out, n).exists()]
    done = settings.patients - len(missing)
    progress(done, settings.patients)
    for _ in _run(out, settings, missing, workers or processors()):
        done += 1
        progress(done, settings.patients)


def _one_thread() -> None:
    """Let a worker process use one core: threads of several that wait spin at half the speed."""
    threadpool_limits(limits=1)


def _run(out: Path, settings: Settings, numbers: list[int], workers: int) -> Iterator[int | None]:
    """Write patients here, or in spawned processes; yield after each."""
    outs, every = [out] * len(numbers), [settings] * len(numbers)
    if workers == 1 or len(numbers) < 2:
        yield from map(write_patient, outs, every, numbers)
        return
    chunk = max(1, min(8, len(numbers) // (4 * workers)))
    spawn = get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=spawn, initializer=_one_thread) as pool:
        yield from pool.map(write_patient, outs, every, numbers, chunksize=chunk)


def write_patient(out: Path, settings: Settings, number: int) -> None:
    """Write one patient's images and masks, then the part that says they are there."""
    patient = generate_patient(settings.seed, number, settings.size)
    for film in patient.films:
        _write_film(out, patient, film, settings)
    rows = [_row(patient, film, settings) for film in patient.films]
    boxes = [
        {"image_id": film.image_id} | asdict(box) for film in patient.films for box in film.boxes
    ]
    severities = [
        (lesion.finding, round(lesion.severity, 3))
        for film in patient.films
        for lesion in film.visit.lesions
    ]
    _save(_part(out, number), _json({"rows": rows, "boxes": boxes, "severities": severities}))


def _part(out: Path, number: int) -> Path:
    return out / "parts" / f"{number:05d}.json"


def _write_film(out: Path, patient: Patient, film: Film, settings: Settings) -> None:
    if settings.dicom:
        from hilum.phantom.dicom_file import encode

        _save(out / "images" / f"{film.image_id}.dcm", encode(patient, film, settings.seed))
    else:
        _save(out / "images" / f"{film.image_id}.png", _png(film.pixels))
    if film.mask.any():
        _save(out / "masks" / f"{film.image_id}.png", _png(film.mask))


def _row(patient: Patient, film: Film, settings: Settings) -> dict[str, Any]:
    labels = film.visit.labels()
    return {
        "image_id": film.image_id,
        "patient_id": patient.patient_id,
        "study_id": film.study_id,
        "visit": film.number,
        "file": f"images/{film.image_id}.{'dcm' if settings.dicom else 'png'}",
        "view": film.visit.view,
        "age": film.age,
        "sex": patient.history.sex,
        **{finding: labels[finding] for finding in (*FINDINGS, NO_FINDING)},
        "report_findings": film.report.findings,
        "report_impression": film.report.impression,
    }


def _write_tables(out: Path, settings: Settings) -> None:
    """Gather the parts, in the order of the patients."""
    import polars as pl

    parts = [
        json.loads(_part(out, n).read_text(encoding="utf-8")) for n in range(settings.patients)
    ]
    boxes = pl.DataFrame(
        [box for part in parts for box in part["boxes"]],
        schema={"image_id": pl.String, "finding": pl.String} | dict.fromkeys("xywh", pl.Int32),
    )
    _save(out / "boxes.csv", boxes.write_csv().encode())
    found = [pair for part in parts for pair in part["severities"]]
    rows = [row for part in parts for row in part["rows"]]
    about = {"images": len(rows), "findings": FINDINGS, "severities": _summary(found)}
    _save(out / "phantom.json", _json(asdict(settings) | about))
    table = pl.DataFrame(rows, infer_schema_length=None)
    _save(out / "table.csv", table.write_csv().encode())


def _summary(found: Iterable[tuple[str, float]]) -> dict[str, dict[str, float]]:
    """Count each finding and say how severe it is: quartiles."""
    by_finding: dict[str, list[float]] = {finding: [] for finding in FINDINGS}
    for finding, severity in found:
        by_finding[finding].append(severity)
    summary: dict[str, dict[str, float]] = {}
    for finding, values in by_finding.items():
        summary[finding] = {"images": len(values)}
        if values:
            low, middle, high = (round(float(q), 3) for q in np.quantile(values, (0.25, 0.5, 0.75)))
            summary[finding] |= {"lower_quartile": low, "median": middle, "upper_quartile": high}
    return summary


def _png(image: np.ndarray[Any, Any]) -> bytes:
    ok, data = cv2.imencode(".png", image)
    assert ok, "OpenCV encodes every grey 8- and 16-bit image"
    return bytes(data)


def _json(data: Any) -> bytes:
    return (json.dumps(data, indent=1, allow_nan=False) + "\n").encode()


def _save(path: Path, data: bytes) -> None:
    """Write a file, whole or not at all; what a power failure takes is made again."""
    with replacing(path, shared=True, lasting=False) as temporary:
        temporary.write_bytes(data)
