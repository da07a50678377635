"""One patient of the synthetic hospital: from a seed and a number to films, masks and reports."""

from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from hilum.errors import UsageError
from hilum.phantom.anatomy import Atlas, Field, load_atlas
from hilum.phantom.devices import draw_devices
from hilum.phantom.film import expose, stamp
from hilum.phantom.history import FINDINGS, History, Visit, draw_history
from hilum.phantom.lesions import PLANTERS, displacement, plant
from hilum.phantom.projection import Paths, project
from hilum.phantom.reports import Report, write_report
from hilum.phantom.texture import fill
from hilum.phantom.variety import Person, draw_exposure, draw_person, draw_pose
from hilum.phantom.warp import Warp

SIZES: Final = (16, 512)

# A finding's mask is where it changes the line integral by this share of its largest change,
# and by at least this many cm of water.
_MASK_SHARE: Final = 0.3
_MASK_FLOOR: Final = 0.12
_BOXED: Final = tuple(finding for finding in FINDINGS if finding != "Support Devices")


@dataclass(frozen=True)
class Box:
    """A finding's place on a film: left, top, width and height in pixels."""

    finding: str
    x: int
    y: int
    w: int
    h: int


@dataclass(frozen=True)
class Film:
    """One image of one visit and everything that is known about it.

    Parameters
    ----------
    shade
        ``(size, size)`` float32 from 0, black, to 1.
    pixel_mm
        Side of a pixel at the patient, mm.
    mask
        ``(size, size)`` uint16; bit `k` is set where ``FINDINGS[k]`` is.
    """

    image_id: str
    study_id: str
    number: int
    visit: Visit
    age: float
    shade: Field
    pixel_mm: float
    mask: NDArray[np.uint16]
    boxes: tuple[Box, ...]
    report: Report

    @property
    def pixels(self) -> NDArray[np.uint8]:
        """The film in 8 bits, ``(size, size)``."""
        return np.round(self.shade * 255.0).astype(np.uint8)


@dataclass(frozen=True)
class Patient:
    """A patient with all films, in order of time."""

    patient_id: str
    history: History
    films: tuple[Film, ...]


def generate_patient(seed: int, number: int, size: int = 128) -> Patient:
    """Make a patient, the same one whatever else is made.

    Parameters
    ----------
    seed, number
        The hospital and the patient in it. Films of other sizes show the same patient.
    size
        Side of the films in pixels, 16 to 512.

    Raises
    ------
    UsageError
        If `size` is out of range or `seed` or `number` negative.
    """
    check(seed, number, size)
    cv2.setNumThreads(1)  # parallel over patients; and one thread sums in one order
    streams = [np.random.default_rng([seed, number, stream]) for stream in range(3)]
    history = draw_history(streams[0])
    person = draw_person(streams[1], history.sex, history.age)
    atlas = load_atlas(fine=size > 160)
    healthy = fill(atlas, person.texture)
    patient_id = f"p{number:05d}"
    films = []
    for index in range(len(history.visits)):
        rng = np.random.default_rng([seed, number, 3 + index])
        shown = _take(atlas, healthy, person, history, index, size, rng)
        films.append(_name(patient_id, history, index, shown, streams[2]))
    return Patient(patient_id, history, tuple(films))


@dataclass(frozen=True)
class _Shown:
    """What one exposure gives: see `Film`."""

    shade: Field
    mask: NDArray[np.uint16]
    pixel_mm: float


def _name(
    patient_id: str, history: History, index: int, shown: _Shown, words: np.random.Generator
) -> Film:
    """Put a film into its place in the patient's history, and have it read."""
    visit = history.visits[index]
    study = f"{patient_id}-v{index + 1}"
    years = (visit.day - history.visits[0].day).days / 365.25
    return Film(
        image_id=f"{study}-{visit.view.lower()}",
        study_id=study,
        number=index,
        visit=visit,
        age=round(history.age + years, 1),
        shade=shown.shade,
        pixel_mm=shown.pixel_mm,
        mask=shown.mask,
        boxes=tuple(find_boxes(shown.mask)),
        report=write_report(visit, history.visits[index - 1] if index else None, history, words),
    )


def check(seed: int, number: int, size: int) -> None:
    """Refuse what no patient can be made of."""
    if not SIZES[0] <= size <= SIZES[1]:
        raise UsageError(f"size must be from {SIZES[0]} to {SIZES[1]} pixels, got {size}")
    if seed < 0 or number < 0:
        raise UsageError(f"seed and patient number must not be negative, got {seed} and {number}")


def _take(
    atlas: Atlas,
    healthy: Field,
    person: Person,
    history: History,
    index: int,
    size: int,
    rng: np.random.Generator,
) -> _Shown:
    """Take one film of a patient as they are at a visit."""
    visit = history.visits[index]
    pose = draw_pose(rng, visit.view, displacement(visit.lesions))
    exposure = draw_exposure(rng, visit.view, person.bone)
    warp = Warp(atlas, person.shape, pose, size)
    tissue, changes = plant_all(atlas, healthy, visit)
    paths = project(atlas, warp, size, tissue, list(changes.values()))
    planes = {name: paths.planes[..., i] for i, name in enumerate(changes)}
    added = person.layers.thickness(warp, paths.tissue)
    whole = Paths(paths.tissue + added, paths.bone, paths.planes)
    metal = planes.get("Support Devices", np.zeros((size, size), dtype=np.float32))
    shade = expose(whole, metal, exposure, pose.field / size, rng)
    stamp(shade, exposure.marker)
    return _Shown(shade, draw_mask(planes, size), pose.field / size)


def plant_all(atlas: Atlas, healthy: Field, visit: Visit) -> tuple[Field, dict[str, Field]]:
    """Plant every lesion of a visit; return the tissue and, by finding, where it changed."""
    tissue, changes = healthy, {}
    lesions = {lesion.finding: lesion for lesion in visit.lesions}
    if "Cardiomegaly" in lesions:
        changes["Cardiomegaly"] = atlas.heart
    for finding in PLANTERS:  # in the planters' order: air and fluid last, they displace lung
        if finding in lesions:
            tissue, changes[finding] = plant(atlas, tissue, lesions[finding])
    if "Support Devices" in lesions:
        changes["Support Devices"] = draw_devices(atlas, lesions["Support Devices"])
    return tissue, changes


def draw_mask(planes: dict[str, Field], size: int) -> NDArray[np.uint16]:
    """Set bit `k` where finding `k` projects above its threshold."""
    mask = np.zeros((size, size), dtype=np.uint16)
    for finding, plane in planes.items():
        threshold = max(_MASK_SHARE * float(plane.max()), _MASK_FLOOR)
        mask |= (plane > threshold).astype(np.uint16) << np.uint16(FINDINGS.index(finding))
    return mask


def find_boxes(mask: NDArray[np.uint16]) -> list[Box]:
    """Box every connected part of a finding that is not small against its largest part."""
    boxes = []
    for bit, finding in enumerate(FINDINGS):
        part = ((mask >> np.uint16(bit)) & 1).astype(np.uint8)
        if finding not in _BOXED or not part.any():
            continue
        _, _, stats, _ = cv2.connectedComponentsWithStats(part)
        areas = stats[1:, cv2.CC_STAT_AREA]
        for row in stats[1:][areas >= max(0.2 * areas.max(), 2)]:
            x, y, w, h = (int(value) for value in row[:4])
            boxes.append(Box(finding, x, y, w, h))
    return boxes
