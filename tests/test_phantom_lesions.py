"""What a planted finding does to the attenuation, the film and the mask."""

from datetime import date

import numpy as np
import pytest
from scipy import ndimage

from hilum.phantom.anatomy import Atlas, load_atlas
from hilum.phantom.devices import DEVICES, draw_devices
from hilum.phantom.history import _DEVICES, FINDINGS, Visit
from hilum.phantom.lesions import PLANTERS, Lesion, displacement, plant
from hilum.phantom.patient import draw_mask, find_boxes, plant_all
from hilum.phantom.projection import project
from hilum.phantom.warp import Warp
from test_phantom_projection import PLAIN, _pose

LESIONS = {
    "Atelectasis": Lesion("Atelectasis", 0.5, "left", "left lower lobe", 3),
    "plates": Lesion("Atelectasis", 0.5, "both", "basal", 3),
    "Consolidation": Lesion("Consolidation", 0.5, "right", "right lower lobe", 3),
    "Edema": Lesion("Edema", 0.5, "both", "", 3),
    "Mass": Lesion("Mass", 0.5, "left", "", 3),
    "Nodule": Lesion("Nodule", 0.5, "right", "", 3),
    "Pleural Effusion": Lesion("Pleural Effusion", 0.5, "right", "", 3),
    "layering": Lesion("Pleural Effusion", 0.5, "left", "layering", 3),
    "Pneumothorax": Lesion("Pneumothorax", 0.5, "left", "", 3),
}


@pytest.fixture(scope="module")
def atlas() -> Atlas:
    return load_atlas()


def _with(lesion: Lesion, severity: float) -> Lesion:
    return Lesion(lesion.finding, severity, lesion.side, lesion.place, lesion.seed)


def test_every_finding_has_a_planter_or_a_displacement_or_metal() -> None:
    assert set(FINDINGS) == {*PLANTERS, "Cardiomegaly", "Support Devices"}
    assert {lesion.finding for lesion in LESIONS.values()} == set(PLANTERS)


@pytest.mark.parametrize("lesion", LESIONS.values(), ids=list(LESIONS))
def test_air_darkens_and_everything_else_brightens_its_region(atlas: Atlas, lesion: Lesion) -> None:
    planted, change = plant(atlas, atlas.tissue, lesion)
    warp = Warp(atlas, PLAIN, _pose("PA", 1500.0, 300.0), 64)
    before = project(atlas, warp, 64, atlas.tissue).tissue
    paths = project(atlas, warp, 64, planted, [change])
    where = paths.planes[..., 0] > 0.4 * paths.planes[..., 0].max()
    difference = (paths.tissue - before)[where].mean()
    assert (difference < -0.1) if lesion.finding == "Pneumothorax" else (difference > 0.1)


@pytest.mark.parametrize("lesion", LESIONS.values(), ids=list(LESIONS))
def test_a_lesion_changes_lung_on_its_own_side_only(atlas: Atlas, lesion: Lesion) -> None:
    planted, change = plant(atlas, atlas.tissue, lesion)
    touched = np.abs(planted - atlas.tissue) > 1e-6
    assert not touched[atlas.lungs == 0].any()
    if lesion.side != "both":
        assert not touched[atlas.side(lesion.side == "right")].any()
    assert (change >= 0).all()
    assert planted.min() >= -1e-6


@pytest.mark.parametrize("name", DEVICES)
def test_every_device_is_drawn_and_severity_makes_it_bolder(atlas: Atlas, name: str) -> None:
    faint = draw_devices(atlas, Lesion("Support Devices", 0.0, "left", name, 1))
    bold = draw_devices(atlas, Lesion("Support Devices", 1.0, "left", name, 1))
    assert 0 < faint.sum() < bold.sum()
    assert set(_DEVICES) | {"chest tube"} == set(DEVICES)


@pytest.mark.parametrize("lesion", LESIONS.values(), ids=list(LESIONS))
def test_severity_is_monotone(atlas: Atlas, lesion: Lesion) -> None:
    sums = [
        float(plant(atlas, atlas.tissue, _with(lesion, severity))[1].sum())
        for severity in (0.0, 0.35, 0.7, 1.0)
    ]
    assert sums == sorted(sums)
    assert sums[0] > 0
    assert sums[-1] > 1.5 * sums[0]


def test_a_pneumothorax_holds_no_vessels(atlas: Atlas) -> None:
    _, z, _ = np.broadcast_arrays(*atlas.axes())
    planted, _ = plant(atlas, atlas.tissue, LESIONS["Pneumothorax"])
    beyond = atlas.side(left=True) & (atlas.lungs > 0.99) & (atlas.wall < 12) & (z > 60)
    assert beyond.sum() > 100
    assert planted[beyond].max() == 0.0


def test_an_effusion_climbs_along_the_wall(atlas: Atlas) -> None:
    _, change = plant(atlas, atlas.tissue, LESIONS["Pleural Effusion"])
    _, z, _ = np.broadcast_arrays(*atlas.axes())
    right = atlas.side(left=False) & (change > 0.4)
    by_wall, inside = right & (atlas.wall < 8), right & (atlas.wall > 35)
    assert z[by_wall].max() > z[inside].max() + 10


@pytest.mark.parametrize(("finding", "low", "high"), [("Nodule", 15, 33), ("Mass", 30, 110)])
def test_a_nodule_is_below_30_mm_and_a_mass_above(
    atlas: Atlas, finding: str, low: float, high: float
) -> None:
    for severity in (0.0, 1.0):
        _, change = plant(atlas, atlas.tissue, _with(LESIONS[finding], severity))
        parts, count = ndimage.label(change > 0.5)
        for number in range(1, count + 1):
            part = parts == number
            if part.sum() < 20:  # a corner that a vessel or the edge of the lung cuts off
                continue
            rows = np.flatnonzero(part.any(axis=(0, 2)))
            assert low <= len(rows) * atlas.step[1] <= high  # a slice of 2.5 mm more or less


def test_volume_loss_pulls_and_trapped_air_pushes() -> None:
    lost = displacement((LESIONS["Atelectasis"],))
    assert lost.left_dome > 0 == lost.right_dome
    assert lost.shift > 0  # to the left, where the volume is lost
    air = displacement((_with(LESIONS["Pneumothorax"], 1.0),))
    assert air.left_dome < 0
    assert air.shift < 0
    assert displacement(()).heart == 1.0
    large = [displacement((Lesion("Cardiomegaly", s),)).heart for s in (0.0, 0.5, 1.0)]
    assert large == sorted(large)
    assert large[0] > 1.1


def test_boxes_bound_the_parts_of_the_mask(atlas: Atlas) -> None:
    lesions = (LESIONS["Edema"], LESIONS["Mass"], Lesion("Cardiomegaly", 0.5))
    devices = Lesion("Support Devices", 0.5, "right", "pacemaker, chest tube", 5)
    visit = Visit(date(2015, 1, 1), "PA", (*lesions, devices))
    tissue, changes = plant_all(atlas, atlas.tissue, visit)
    warp = Warp(atlas, PLAIN, _pose("PA", 1500.0, 300.0), 96)
    planes = project(atlas, warp, 96, tissue, list(changes.values())).planes
    mask = draw_mask({name: planes[..., i] for i, name in enumerate(changes)}, 96)
    boxes = find_boxes(mask)
    assert {box.finding for box in boxes} == {lesion.finding for lesion in lesions}
    assert ((mask >> FINDINGS.index("Support Devices")) & 1).any()
    for box in boxes:
        part = (mask >> FINDINGS.index(box.finding)) & 1
        inside = part[box.y : box.y + box.h, box.x : box.x + box.w]
        assert inside[0].any()
        assert inside[-1].any()
        assert inside[:, 0].any()
        assert inside[:, -1].any()
    edema = sorted((box for box in boxes if box.finding == "Edema"), key=lambda box: box.x)
    assert edema[0].x < 48 < edema[-1].x + edema[-1].w  # both sides


def test_nothing_planted_gives_an_empty_mask() -> None:
    assert not draw_mask({}, 32).any()
    assert find_boxes(np.zeros((32, 32), dtype=np.uint16)) == []
