"""Slow, obvious versions of the features of earlier visits: loops over a patient's images."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

NAN = math.nan
MEMORIES = (0.5, 0.85, 1.0)


@dataclass(frozen=True)
class Image:
    """One image; labels are 1, 0, -1 or NaN, ages and views may be unknown."""

    patient: str
    visit: int
    labels: tuple[float, ...]
    age: float = NAN
    view: str | None = None


def visit_label(images: Sequence[Image], finding: int, policy: str) -> float:
    labels = [image.labels[finding] for image in images]
    for value in (1.0, -1.0, 0.0):
        if value in labels:
            becomes = {"ignore": NAN, "positive": 1.0, "negative": 0.0}[policy]
            return becomes if value == -1.0 else value
    return NAN


def visit_age(images: Sequence[Image]) -> float:
    known = [image.age for image in images if not math.isnan(image.age)]
    return max(known) if known else NAN


def visit_ap(images: Sequence[Image]) -> float:
    frontal = [image.view == "AP" for image in images if image.view in ("AP", "PA")]
    return sum(frontal) / len(frontal) if frontal else NAN


def mean(values: Sequence[float]) -> float:
    known = [value for value in values if not math.isnan(value)]
    return sum(known) / len(known) if known else NAN


def features(
    every: Sequence[Image], of: Image, findings: Sequence[str], policy: str = "ignore"
) -> dict[str, float]:
    """Return every column of history and course of one image, from all images there are."""
    own = [image for image in every if image.patient == of.patient]
    earlier = [
        [image for image in own if image.visit == visit]
        for visit in sorted({image.visit for image in own if image.visit < of.visit})
    ]
    present_visit = [image for image in own if image.visit == of.visit]
    out = {"has history": float(bool(earlier)), "earlier visits": math.log(1 + len(earlier))}
    years = visit_age(present_visit) - visit_age(earlier[-1]) if earlier else NAN
    out["years since"] = years if years >= 0 else NAN
    for at, finding in enumerate(findings):
        labels = [visit_label(images, at, policy) for images in earlier]
        told = [label for label in labels if not math.isnan(label)]
        out[f"previous {finding}"] = labels[-1] if labels else NAN
        out[f"ever {finding}"] = max(told) if told else NAN
        out[f"rate {finding}"] = mean(labels)
        out[f"earlier {finding} known"] = float(bool(told))
        for memory in MEMORIES:
            present = absent = 0.5
            for back, label in enumerate(reversed(labels)):
                present += memory**back * (label == 1)
                absent += memory**back * (label == 0)
            out[f"log odds {finding} {memory:g}"] = math.log(present / absent)
    numbers = [number_of_findings(images, findings, policy) for images in earlier]
    views = [visit_ap(images) for images in earlier]
    out["previous findings"] = numbers[-1] if numbers else NAN
    out["mean findings"] = mean(numbers)
    out["previous AP"] = views[-1] if views else NAN
    out["AP rate"] = mean(views)
    for name in list(out):
        if name.startswith(("previous ", "years since", "mean ", "AP ")):
            out[f"{name} known"] = float(not math.isnan(out[name]))
    return out


def number_of_findings(images: Sequence[Image], findings: Sequence[str], policy: str) -> float:
    labels = [
        visit_label(images, at, policy)
        for at, finding in enumerate(findings)
        if finding != "No Finding"
    ]
    if all(math.isnan(label) for label in labels):
        return NAN
    return float(sum(label == 1 for label in labels))
