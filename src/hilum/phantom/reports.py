"""Reports: what a radiologist would have dictated over a phantom film, in varied words.

A report states what is there, with side and severity, and denies some of what is not. It may
leave out a finding that is there, as real reports do, but it never states one that is not.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

import numpy as np

from hilum.phantom.history import FINDINGS, History, Visit
from hilum.phantom.lesions import Lesion

OMITTED: Final = 0.12
"""Share of the findings that are there and that the report does not mention."""

_GRADES: Final = ("minimal", "mild", "moderate", "marked")


@dataclass(frozen=True)
class Report:
    """The two sections of a report, and the findings it leaves out."""

    findings: str
    impression: str
    omitted: tuple[str, ...] = ()


_PRESENT: Final[Mapping[str, Sequence[str]]] = MappingProxyType({
    "Atelectasis": (
        "There is {grade} atelectasis {where}.",
        "{Grade} volume loss {where}, consistent with atelectasis.",
        "Opacity with volume loss {where} compatible with {grade} atelectasis.",
    ),
    "Cardiomegaly": (
        "The cardiac silhouette is enlarged, {grade} cardiomegaly.",
        "{Grade} cardiomegaly.",
        "The heart is {gradely} enlarged, in keeping with cardiomegaly.",
    ),
    "Consolidation": (
        "{Grade} consolidation {where}.",
        "There is airspace consolidation {where}, {grade} in extent.",
        "Confluent opacity {where} represents {grade} consolidation.",
    ),
    "Edema": (
        "{Grade} pulmonary edema.",
        "Bilateral perihilar haziness consistent with {grade} pulmonary edema.",
        "Vascular indistinctness and perihilar opacity, {grade} interstitial edema.",
    ),
    "Mass": (
        "There is a {cm} cm mass {where}.",
        "A lobulated mass {where} measures about {cm} cm.",
        "Large rounded opacity {where}, a mass of {cm} cm.",
    ),
    "Nodule": (
        "A {mm} mm nodule is seen {where}.",
        "There is a nodular opacity {where}, a nodule of about {mm} mm.",
        "Pulmonary nodule {where}, {mm} mm.",
    ),
    "Pleural Effusion": (
        "{Grade} {side} pleural effusion.",
        "{Grade} {side} pleural effusion blunts the costophrenic angle.",
        "Layering fluid, {grade} {side} pleural effusion.",
    ),
    "Pneumothorax": (
        "{Grade} {side} pneumothorax.",
        "A visceral pleural line is seen, {grade} {side} pneumothorax.",
        "There is a {grade} pneumothorax on the {side}.",
    ),
    "Support Devices": (
        "Support devices: {devices}.",
        "{Devices} in place.",
        "Unchanged position of {devices}.",
    ),
})  # fmt: skip

_ABSENT: Final[Mapping[str, Sequence[str]]] = MappingProxyType({
    "Atelectasis": ("No atelectasis.", "No volume loss is seen."),
    "Cardiomegaly": (
        "The heart size is normal.", "No cardiomegaly.", "The cardiac silhouette is not enlarged.",
    ),
    "Consolidation": ("No focal consolidation.", "There is no airspace consolidation."),
    "Edema": ("No pulmonary edema.", "There is no evidence of pulmonary edema."),
    "Mass": ("No mass.", "There is no pulmonary mass."),
    "Nodule": ("No suspicious nodule.", "There is no pulmonary nodule."),
    "Pleural Effusion": (
        "No pleural effusion.", "No pleural effusion is seen.",
        "The costophrenic angles are clear.",
    ),
    "Pneumothorax": ("No pneumothorax.", "There is no pneumothorax."),
    "Support Devices": ("No lines or tubes.",),
})  # fmt: skip

_NORMAL: Final = (
    "The lungs are well aerated.", "The mediastinal contours are unremarkable.",
    "Bony structures are intact.", "The visualised upper abdomen is unremarkable.",
    "No acute osseous abnormality.", "The trachea is midline.",
)  # fmt: skip
_CLEAR: Final = (
    "No acute cardiopulmonary abnormality.", "No acute cardiopulmonary process.",
    "Normal chest radiograph.", "No acute disease.",
)  # fmt: skip


def write_report(
    visit: Visit, previous: Visit | None, history: History, rng: np.random.Generator
) -> Report:
    """Dictate a report for one visit.

    Parameters
    ----------
    visit, previous
        What is there now, and what was there last time (None at the first visit).
    history
        Whose visit it is.
    rng
        Chooses words and omissions.
    """
    omitted = tuple(lesion.finding for lesion in visit.lesions if rng.random() < OMITTED)
    told = [lesion for lesion in visit.lesions if lesion.finding not in omitted]
    sentences = [_technique(visit, history, rng)]
    sentences += [f"{_state(lesion, rng)}{_change(lesion, previous)}" for lesion in told]
    sentences += _deny(visit, rng)
    sentences += _normal(visit, rng)
    return Report(" ".join(sentences), _impression(told, visit, previous, rng), omitted)


def _technique(visit: Visit, history: History, rng: np.random.Generator) -> str:
    person = f"{history.age:.0f}-year-old {'woman' if history.sex == 'F' else 'man'}"
    view = "Portable AP view" if visit.view == "AP" else "PA view"
    some = (f"{view} of the chest.", f"{view} of the chest in a {person}.", "Single frontal view.")
    return str(rng.choice(some))


def _state(lesion: Lesion, rng: np.random.Generator) -> str:
    """State one finding in one of its wordings."""
    wording = str(rng.choice(_PRESENT[lesion.finding]))
    grade = _GRADES[min(int(lesion.severity * 4), 3)]
    side = "bilateral" if lesion.side == "both" else lesion.side
    if "on the {side}" in wording and side == "bilateral":
        wording = "{Grade} {side} pneumothorax."
    devices = lesion.place
    return wording.format(
        grade=grade, Grade=grade.capitalize(), gradely=f"{grade}ly", side=side,
        where=_where(lesion), mm=round(2 * (9.5 + 5.0 * lesion.severity)),
        cm=f"{0.2 * (21.0 + 24.0 * lesion.severity):.1f}",
        devices=devices, Devices=devices[:1].upper() + devices[1:],
    )  # fmt: skip


def _where(lesion: Lesion) -> str:
    if lesion.place.endswith("lobe"):
        return f"in the {lesion.place}"
    if lesion.place == "basal":
        return "at both lung bases" if lesion.side == "both" else f"at the {lesion.side} lung base"
    return "in both lungs" if lesion.side == "both" else f"in the {lesion.side} lung"


def _change(lesion: Lesion, previous: Visit | None) -> str:
    """Compare with the last visit."""
    if previous is None:
        return ""
    before = next((old for old in previous.lesions if old.finding == lesion.finding), None)
    if before is None:
        return " This is new."
    step = lesion.severity - before.severity
    return " Increased." if step > 0.12 else " Decreased." if step < -0.12 else " Unchanged."


def _deny(visit: Visit, rng: np.random.Generator) -> list[str]:
    """Deny about half of what is not there."""
    labels = visit.labels()
    absent = [finding for finding in FINDINGS if not labels[finding] and rng.random() < 0.5]
    return [str(rng.choice(_ABSENT[finding])) for finding in absent]


def _normal(visit: Visit, rng: np.random.Generator) -> list[str]:
    """Say what is normal; "well aerated" only of lungs with nothing in them."""
    first = 0 if visit.labels()["No Finding"] else 1
    return [sentence for sentence in _NORMAL[first:] if rng.random() < 0.25]


def _impression(
    told: Sequence[Lesion], visit: Visit, previous: Visit | None, rng: np.random.Generator
) -> str:
    """Sum up, numbered where there are several points."""
    points = [_state(lesion, rng) for lesion in told if lesion.finding != "Support Devices"]
    if previous is not None:
        now = {lesion.finding for lesion in visit.lesions}
        gone = [old.finding for old in previous.lesions if old.finding not in now]
        points += [
            f"Previously seen {finding.lower()} has resolved."
            for finding in gone
            if finding != "Support Devices"
        ]
    if not points:
        return str(rng.choice(_CLEAR)) if visit.labels()["No Finding"] else "As above."
    if len(points) == 1:
        return points[0]
    return " ".join(f"{number}. {point}" for number, point in enumerate(points, 1))
