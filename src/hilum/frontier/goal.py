"""What full supervision is, for "labels needed": the image-only line that validation images prefer.

Which line it is moves every number of labels needed, so the test images may not decide it.
"""

import json
from collections.abc import Sequence
from dataclasses import replace
from statistics import mean
from typing import TYPE_CHECKING

import numpy as np

from hilum.evaluate import auroc
from hilum.frontier.few import read
from hilum.frontier.material import Material
from hilum.frontier.others import Work
from hilum.frontier.tracks import Track

if TYPE_CHECKING:
    from pathlib import Path

VALIDATION = "val"


def choose_goal(work: Work, material: Material, tracks: Sequence[Track]) -> str:
    """Return the name of a line.

    Of the readers with all labels, and the networks that see the image alone, the one with the
    highest AUROC on validation images: its mean over the findings that all of them are measured
    for there. Where there is none to judge by: the first network, or else the first reader.
    """
    readers = [track for track in tracks
               if track.kind == "all" and track.embedding == material.name]  # fmt: skip
    networks = [track for track in tracks if track.inputs == ("image",) and not track.why_missing]
    judged = {track.name: _of_reader(work, material, track.reader) for track in readers}
    judged |= {track.name: _of_network(track.runs) for track in networks}
    measured = {name: found for name, found in judged.items() if found}
    shared = set.intersection(*map(set, measured.values())) if measured else set()
    if shared:
        return max(measured, key=lambda name: mean(measured[name][one] for one in sorted(shared)))
    return [*networks, *readers][0].name


def _of_reader(work: Work, material: Material, reader: str) -> dict[str, float]:
    """Return the AUROC of each finding that can be measured on validation images."""
    view = work.part(VALIDATION)
    if not len(view):
        return {}
    truth = view.labels(findings=work.findings, policy=work.design.measuring.policy)
    _, vectors = view.vectors(material.name)
    every = np.arange(len(material.labels), dtype=np.int64)
    scores = read(reader, replace(material, test=vectors), every)
    able = (truth.values == 1).any(axis=0) & (truth.values == 0).any(axis=0)
    able &= ~np.isnan(scores).any(axis=0)
    return {
        truth.findings[at]: float(auroc(scores[:, at].astype(np.float64), truth.values[:, at]))
        for at in np.flatnonzero(able).tolist()
    }


def _of_network(runs: "Sequence[Path]") -> dict[str, float]:
    """Return the mean of what the runs measured on validation images when they were trained."""
    found: list[dict[str, float]] = []
    for run in runs:
        measured = json.loads((run / "metrics.json").read_text(encoding="utf-8"))["validation"]
        each = (measured or {"findings": {}})["findings"]  # None: a recipe that does not validate
        values = {name: one["auroc"]["estimate"] for name, one in each.items()}
        found.append({name: value for name, value in values.items() if value is not None})
    shared = set.intersection(*map(set, found)) if found else set()
    return {name: mean(one[name] for one in found) for name in sorted(shared)}
