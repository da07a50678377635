"""What full supervision is, for "labels needed": the image-only line that validation images prefer.

Which line it is moves every number of labels needed, so the test images may not decide it.
"""

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from hilum.evaluate import auroc
from hilum.frontier.few import read
from hilum.frontier.material import Floats, Material
from hilum.frontier.others import Work
from hilum.frontier.tracks import Track

if TYPE_CHECKING:
    from pathlib import Path

VALIDATION = "val"


def choose_goal(work: Work, material: Material, tracks: Sequence[Track]) -> str:
    """Return the name of a line.

    Of the readers with all labels, and the networks that see the image alone, the one with the
    highest mean AUROC on validation images. Where there is none to judge by: the first network,
    or else the first reader.
    """
    readers = [track for track in tracks
               if track.kind == "all" and track.embedding == material.name]  # fmt: skip
    networks = [track for track in tracks if track.inputs == ("image",) and not track.why_missing]
    judged = {track.name: _of_reader(work, material, track.reader) for track in readers}
    judged |= {track.name: _of_network(track.runs) for track in networks}
    defined = {name: value for name, value in judged.items() if not np.isnan(value)}
    if defined:
        return max(defined, key=lambda name: defined[name])
    return [*networks, *readers][0].name


def _of_reader(work: Work, material: Material, reader: str) -> float:
    view = work.part(VALIDATION)
    if not len(view):
        return float("nan")
    truth = view.labels(findings=work.findings, policy=work.design.measuring.policy)
    _, vectors = view.vectors(material.name)
    every = np.arange(len(material.labels), dtype=np.int64)
    scores = read(reader, replace(material, test=vectors), every)
    return _mean(scores.astype(np.float64), truth.values)


def _mean(scores: Floats, truth: Floats) -> float:
    """Return the mean AUROC over the findings that have both classes; NaN for none."""
    able = (truth == 1).any(axis=0) & (truth == 0).any(axis=0) & ~np.isnan(scores).any(axis=0)
    values = [auroc(scores[:, at], truth[:, at]) for at in np.flatnonzero(able)]
    return float(np.mean(values)) if values else float("nan")


def _of_network(runs: "Sequence[Path]") -> float:
    """Read what the runs measured on validation images when they were trained."""
    found = []
    for run in runs:
        measured = json.loads((run / "metrics.json").read_text(encoding="utf-8"))
        mean = measured.get("validation", {}).get("mean", {}).get("auroc", {})
        found.append(np.nan if mean.get("estimate") is None else mean["estimate"])
    return float(np.mean(found)) if found else float("nan")
