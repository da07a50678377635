"""Parts of the body, what may be said of them, and what that says of findings.

"Heart size and mediastinal contours are within normal limits" names no finding and denies two.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from hilum.findings import FINDINGS, UNCERTAIN
from hilum.reports.claims import ABSENT, NOTHING, OTHER, PRESENT, Claim

PARTS: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType({
    "heart": (
        "heart|cardiac size|silhouette(s)|contour(s)|shadow|configuration?",
        "heart|cardiac silhouette size",
        "size of the? heart",
        "size of the? cardiac silhouette",
        "cardiopericardial silhouette",
    ),
    "cardiomediastinum": (
        "cardiomediastinal|cardiothymic silhouette(s)|contour(s)|structures|size?",
        "cardiomediastinum",
        "cardio mediastinal silhouette(s)|contour(s)?",
        "cardiac mediastinal silhouette(s)|contour(s)",
        "cardiopulmonary silhouette",
    ),
    "mediastinum": (
        "mediastinum|mediastinal silhouette(s)|contour(s)|structures|width|size|margins|borders?",
        "upper|superior mediastinum|mediastinal contour(s)|silhouette?",
        "vascular pedicle",
    ),
    "lungs": (
        "lungs|lung|lungfields",
        "lung fields|xxxx|parenchyma",
        "pulmonary parenchyma",
    ),
    "pleura": ("pleura|pleural space(s)|surface(s)|cavity|cavities?",),
    "angles": (
        "costophrenic|cp angle(s)|sulcus|sulci|recess(es)|xxxx?",
        "sulcus|sulci",
    ),
    "vessels": (
        "pulmonary vasculature|vascularity|vessels|vascular|circulation markings|structures|"
        "pattern?",
        "vasculature|vascularity",
        "vascular markings|structures|pattern",
    ),
    "bones": (
        "bones|bony|osseous|skeletal|skeleton structures|thorax|xxxx?",
        "ribs|clavicles",
    ),
    "chest": (
        "chest|thorax exam|examination|radiograph(s)|film(s)|xxxx|study|series|xray?",
        "chest x ray(s)|xxxx",
        "exam|examination|study|radiograph(s)|film",
    ),
    "elsewhere": (
        "aorta|aortic arch|knob|contour|root|xxxx?",
        "thoracic|ascending|descending aorta",
        "hilum|hila|hilar|bihilar contour(s)|structures|vessels?",
        "pulmonary arter(y,ies)|trunk|outflow|hila|xxxx",
        "left|right|both atrium|atria|atrial|ventricle|ventricular",
        "thyroid|trachea|airways|airway|azygos|spine|diaphragm(s)|hemidiaphragm(s)|stomach",
        "lymph node(s)",
        "soft tissue(s)",
    ),
})  # fmt: skip
"""Part → phrases that name it."""

STATES: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType({
    "normal": (
        "normal|unremarkable|wnl|nonenlarged",
        "non enlarged",
        "within the? normal? limits|limit|range|xxxx|units of? normal?",
        "at? the? upper limits|limit|range of normal",
        "at? the? upper|top|high normal limits?",
        "top of normal",
        "limits of normal",
    ),
    "clear": ("clear|clean|free",),
    "intact": ("intact|sharp|crisp|preserved",),
    "negative": ("negative",),
    "abnormal": (
        "acute|focal|significant|obvious|gross|active? abnormalit(y,ies)",
        "acute|significant|active|other finding(s)|disease|process|change(s)",
        "acute significant|focal abnormalit(y,ies)|finding(s)",
    ),
    "enlarged": (
        "enlarged|enlargement|enlarging|large|dilated|dilatation|dilation|hypertrophy",
        "increased in? size",
    ),
    "borderline": (
        "borderline in? enlarged|enlargement|large|prominent|size?",
        "prominent|prominence",
    ),
    "widened": ("widened|widening|wide",),
    "blunted": ("blunted|blunting|obliterated|obliteration|effaced",),
    "raised": ("elevated|elevation|flattened|flattening",),
    "hyperinflated": ("hyperinflated|hyperexpanded|overinflated|hyperaerated",),
})  # fmt: skip
"""State → phrases that say it."""

_LUNG_FINDINGS: Final = (
    "Atelectasis", "Consolidation", "Edema", "Fibrosis", "Infiltration",
    "Lung Lesion", "Lung Opacity", "Mass", "Nodule", "Nodule or Mass", "Pneumonia",
)  # fmt: skip
_PLEURAL_FINDINGS: Final = (
    "Pleural Effusion", "Pleural Other", "Pleural Thickening", "Pneumothorax",
)  # fmt: skip
_ACUTE_FINDINGS: Final = ("Consolidation", "Edema", "Pneumonia", "Pneumothorax")


def _denial(*findings: str) -> Claim:
    return Claim(dict.fromkeys(findings, ABSENT))


def _claim(finding: str, label: int = PRESENT) -> Claim:
    return Claim({finding: label}, {finding: ABSENT})


NO_ACUTE_DISEASE: Final = Claim(
    {OTHER: PRESENT}, {OTHER: ABSENT, **dict.fromkeys(_ACUTE_FINDINGS, ABSENT)}
)
"""Acute disease at large. Its denial leaves effusions and atelectasis open, which may be old."""

NO_BONE_DISEASE: Final = Claim({OTHER: PRESENT}, {OTHER: ABSENT, "Fracture": ABSENT})

_NOT_ON_A_FILM: Final = ("COVID-19", "No Finding", "Support Devices")
ALL_IS_WELL: Final = _denial(*(name for name in FINDINGS if name not in _NOT_ON_A_FILM), OTHER)

_WELL: Final[Mapping[str, Claim]] = {
    "heart": _denial("Cardiomegaly"),
    "cardiomediastinum": _denial("Cardiomegaly", "Enlarged Cardiomediastinum"),
    "mediastinum": _denial("Enlarged Cardiomediastinum"),
    "lungs": _denial(*_LUNG_FINDINGS),
    "pleura": _denial(*_PLEURAL_FINDINGS),
    "angles": _denial("Pleural Effusion"),
    "vessels": _denial("Edema"),
    "bones": _denial("Fracture"),
    "chest": ALL_IS_WELL,
    "elsewhere": _denial(OTHER),
}
_SICK: Final[Mapping[tuple[str, str], Claim]] = {
    ("heart", "enlarged"): _claim("Cardiomegaly"),
    ("heart", "borderline"): _claim("Cardiomegaly", UNCERTAIN),
    ("heart", "widened"): _claim("Cardiomegaly"),
    ("cardiomediastinum", "enlarged"): _claim("Enlarged Cardiomediastinum"),
    ("cardiomediastinum", "borderline"): _claim("Enlarged Cardiomediastinum", UNCERTAIN),
    ("cardiomediastinum", "widened"): _claim("Enlarged Cardiomediastinum"),
    ("mediastinum", "enlarged"): _claim("Enlarged Cardiomediastinum"),
    ("mediastinum", "borderline"): _claim("Enlarged Cardiomediastinum", UNCERTAIN),
    ("mediastinum", "widened"): _claim("Enlarged Cardiomediastinum"),
    ("angles", "blunted"): _claim("Pleural Effusion", UNCERTAIN),
    ("lungs", "hyperinflated"): _claim(OTHER),
    ("vessels", "enlarged"): _claim(OTHER),
    ("vessels", "borderline"): _claim(OTHER),
    ("elsewhere", "enlarged"): _claim(OTHER),
    ("elsewhere", "borderline"): _claim(OTHER),
    ("elsewhere", "widened"): _claim(OTHER),
    ("elsewhere", "raised"): _claim(OTHER),
}
_HEALTHY: Final = frozenset({"normal", "clear", "intact", "negative"})
_MAY_BE_ACUTE: Final = frozenset({*_ACUTE_FINDINGS, "Fracture"})


def judge(part: str, state: str) -> Claim:
    """Return what a part in a state says of findings: maybe nothing.

    A part without acute abnormality has none of the acute findings; it may have old ones.
    """
    if state in _HEALTHY:
        return _WELL[part]
    if state == "abnormal":
        acute = {name: ABSENT for name in _WELL[part].present if name in _MAY_BE_ACUTE}
        return Claim({OTHER: PRESENT}, {OTHER: ABSENT, **acute})
    return _SICK.get((part, state), NOTHING)
