"""Who falls ill with what, when: the patients of the synthetic hospital before any image.

Prevalence and co-occurrence follow ChestX-ray14 and CheXpert in kind (heart failure brings a
large heart, edema and effusion together; sick patients are old, lie in bed and are taken AP;
half of the images show nothing), but rare findings are raised, so that a few hundred patients
hold some dozens of each.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from types import MappingProxyType
from typing import Final

import numpy as np

from hilum.phantom.lesions import Lesion

FINDINGS: Final = (
    "Atelectasis",
    "Cardiomegaly",
    "Consolidation",
    "Edema",
    "Mass",
    "Nodule",
    "Pleural Effusion",
    "Pneumothorax",
    "Support Devices",
)
"""What can be planted, in the order of the columns and of the bits of a mask."""

NO_FINDING: Final = "No Finding"


@dataclass(frozen=True)
class Profile:
    """One kind of patient.

    Parameters
    ----------
    share
        Of all patients.
    age
        Mean and standard deviation, years.
    bedside
        Share of AP films.
    chances
        Of each finding, at some visit.
    """

    share: float
    age: tuple[float, float]
    bedside: float
    chances: Mapping[str, float]


def _profile(
    share: float, age: tuple[float, float], bedside: float, chances: dict[str, float]
) -> Profile:
    return Profile(share, age, bedside, MappingProxyType(chances))


PROFILES: Final[dict[str, Profile]] = {
    "well": _profile(0.25, (45, 17), 0.15, {"Nodule": 0.04, "Support Devices": 0.05}),
    "heart": _profile(0.20, (67, 12), 0.50, {
        "Cardiomegaly": 0.80, "Edema": 0.62, "Pleural Effusion": 0.50, "Atelectasis": 0.22,
        "Support Devices": 0.40, "Consolidation": 0.06}),
    "infection": _profile(0.16, (52, 19), 0.45, {
        "Consolidation": 0.85, "Pleural Effusion": 0.35, "Atelectasis": 0.25, "Edema": 0.08,
        "Support Devices": 0.20, "Cardiomegaly": 0.06}),
    "tumour": _profile(0.21, (63, 12), 0.25, {
        "Nodule": 0.66, "Mass": 0.64, "Pleural Effusion": 0.28, "Atelectasis": 0.22,
        "Pneumothorax": 0.10, "Consolidation": 0.08, "Support Devices": 0.25}),
    "surgery": _profile(0.18, (56, 17), 0.62, {
        "Pneumothorax": 0.76, "Atelectasis": 0.48, "Pleural Effusion": 0.35,
        "Support Devices": 0.72, "Cardiomegaly": 0.12, "Edema": 0.08}),
}  # fmt: skip

_LASTS: Final = MappingProxyType(
    {"Cardiomegaly": 0.95, "Nodule": 0.92, "Mass": 0.94, "Support Devices": 0.75}
)
_LASTS_ELSE: Final = 0.62
_VISITS: Final = (0.45, 0.28, 0.14, 0.08, 0.05)  # 1 to 5 visits, mean 2.0
_BOTH_SIDES: Final = MappingProxyType({"Pleural Effusion": 0.45, "Atelectasis": 0.35})
_LOBES: Final = (
    ("right lower lobe", 0.24), ("left lower lobe", 0.20), ("right middle lobe", 0.18),
    ("right upper lobe", 0.20), ("left upper lobe", 0.18),
)  # fmt: skip
_DEVICES: Final = MappingProxyType({
    "endotracheal tube": 0.3, "enteric tube": 0.3, "central venous catheter": 0.4,
    "PICC": 0.22, "pacemaker": 0.34, "sternotomy wires": 0.3,
})  # fmt: skip


@dataclass(frozen=True)
class Visit:
    """One study of one image: the date, the view and what is there."""

    day: date
    view: str
    lesions: tuple[Lesion, ...]

    def labels(self) -> dict[str, int]:
        """Return 1 or 0 for every finding; "No Finding" is 1 where there is none but devices."""
        present = {lesion.finding for lesion in self.lesions}
        labels = {finding: int(finding in present) for finding in FINDINGS}
        return labels | {NO_FINDING: int(not present - {"Support Devices"})}


@dataclass(frozen=True)
class History:
    """One patient: age at the first visit, sex, profile and visits in order of time."""

    age: float
    sex: str
    profile: str
    visits: tuple[Visit, ...]


def draw_history(rng: np.random.Generator) -> History:
    """Draw a patient."""
    names = list(PROFILES)
    name = str(rng.choice(names, p=[PROFILES[n].share for n in names]))
    profile = PROFILES[name]
    age = round(float(np.clip(rng.normal(*profile.age), 18, 94)), 1)
    sex = "M" if rng.random() < 0.56 else "F"
    count = int(rng.choice(len(_VISITS), p=_VISITS)) + 1
    courses = {
        finding: _course(rng, finding, count)
        for finding in FINDINGS
        if rng.random() < profile.chances.get(finding, 0.008)
    }
    day = date(2015, 1, 1) + timedelta(days=int(rng.integers(1500)))
    visits = []
    for number in range(count):
        lesions = _with_tube([c[number] for c in courses.values() if c[number] is not None], rng)
        bedside = profile.bedside + 0.07 * len(lesions)
        visits.append(Visit(day, "AP" if rng.random() < bedside else "PA", lesions))
        day += timedelta(days=1 + int(rng.exponential(60)))
    return History(age, sex, name, tuple(visits))


def _course(rng: np.random.Generator, finding: str, count: int) -> list[Lesion | None]:
    """Let a finding appear at some visit, change in severity and perhaps clear."""
    start = 0 if rng.random() < 0.7 else int(rng.integers(count))
    lesion = _onset(rng, finding)
    course: list[Lesion | None] = [None] * count
    for number in range(start, count):
        course[number] = lesion
        if rng.random() > _LASTS.get(finding, _LASTS_ELSE):
            break
        step = rng.normal(0.0, 0.16)
        lesion = replace(lesion, severity=float(np.clip(lesion.severity + step, 0.0, 1.0)))
    return course


def _onset(rng: np.random.Generator, finding: str) -> Lesion:
    both = rng.random() < _BOTH_SIDES.get(finding, 0.0)
    side = "both" if both else str(rng.choice(["right", "left"], p=[0.54, 0.46]))
    place = ""
    if finding == "Consolidation" or (finding == "Atelectasis" and rng.random() < 0.45):
        lobes = [lobe for lobe, _ in _LOBES]
        place = str(rng.choice(lobes, p=[share for _, share in _LOBES]))
        side = place.split()[0]
    elif finding == "Atelectasis":
        place = "basal"
    elif finding == "Support Devices":
        place = _choose_devices(rng)
    if finding in ("Cardiomegaly", "Edema"):
        side = "both"
    severity = float(rng.beta(1.9, 1.6))
    return Lesion(finding, severity, side, place, int(rng.integers(2**31)))


def _choose_devices(rng: np.random.Generator) -> str:
    chosen = [name for name, chance in _DEVICES.items() if rng.random() < chance]
    return ", ".join(chosen or [str(rng.choice(list(_DEVICES)))])


def _with_tube(lesions: Sequence[Lesion | None], rng: np.random.Generator) -> tuple[Lesion, ...]:
    """Give some patients with a pneumothorax and devices a chest tube, and layer some fluid."""
    present = [lesion for lesion in lesions if lesion is not None]
    air = next((lesion for lesion in present if lesion.finding == "Pneumothorax"), None)
    drained = rng.random() < 0.35
    layered = rng.random() < 0.2
    out = []
    for lesion in present:
        changed = lesion
        if lesion.finding == "Support Devices" and air is not None and drained:
            changed = replace(lesion, place=f"chest tube, {lesion.place}", side=air.side)
        if lesion.finding == "Pleural Effusion" and layered:
            changed = replace(lesion, place="layering")
        out.append(changed)
    return tuple(out)
