"""Line integrals, warps and films."""

import numpy as np
import pytest

from hilum.phantom.anatomy import Atlas, Field, load_atlas
from hilum.phantom.film import Exposure, expose
from hilum.phantom.noise import smooth_field
from hilum.phantom.projection import Paths, project
from hilum.phantom.texture import splat
from hilum.phantom.warp import LAYERS, Pose, Shape, Warp
from reference_phantom import trace

PLAIN = Shape(
    width=1.0, height=1.0, depth=1.0, taper=0.0, bend=0.0, lean=0.0, girth=1.0,
    wander=np.zeros((LAYERS, 2, 9, 9), dtype=np.float32), domes=(0.0, 0.0), heart=1.0,
    heart_tall=0.5, hila_shift=0.0, rib_slope=0.0, rib_shift=0.0, rib_gap=1.0, girdle=(0.0, 0.0),
)  # fmt: skip
SHARP = Exposure(
    quanta=1e7, bone=1.0, scatter=0.0, blur=0.0, detail=0.0, curve=1.0, window=(0.0, 100.0),
    floor=0.0, shutters=(0.0, 0.0, 0.0, 0.0), marker=("", 0.1, 0.1, 0.05),
)  # fmt: skip


def _pose(
    view: str = "PA", distance: float = 1e7, field: float = 160.0, heart: float = 1.0
) -> Pose:
    return Pose(view, distance, field, (0.0, 0.0), 0.0, 0.0, 0.0, (0.0, 0.0), heart)


def _atlas(tissue: Field, step: tuple[float, float, float] = (4.0, 2.0, 2.0)) -> Atlas:
    """Wrap a volume, centred on the origin, as an atlas without bones."""
    spacing = np.array(step)
    origin = -(np.array(tissue.shape) - 1) / 2 * spacing
    empty = np.zeros_like(tissue)
    lobe = np.zeros(tissue.shape, dtype=np.uint8)
    return Atlas(spacing, origin, tissue, empty, empty, empty, empty, lobe, empty, np.zeros((2, 3)))


def test_a_slab_of_water_is_as_long_as_it_is_thick() -> None:
    tissue = np.zeros((40, 100, 100), dtype=np.float32)
    tissue[10:30] = 1.0  # 20 slabs of 4 mm
    atlas = _atlas(tissue)
    paths = project(atlas, Warp(atlas, PLAIN, _pose(), 16), 16, atlas.tissue)
    np.testing.assert_allclose(paths.tissue, 8.0, rtol=1e-4)


def test_a_sphere_of_water_projects_to_its_chords() -> None:
    y, z, x = np.ogrid[-78:79:4, -99:100:2, -99:100:2]  # mm, centred on the origin
    radius = 50.0
    sphere = np.clip((radius - np.sqrt(y**2 + z**2 + x**2)) / 3.0 + 0.5, 0, 1).astype(np.float32)
    atlas = _atlas(sphere)
    size, field = 32, 160.0
    paths = project(atlas, Warp(atlas, PLAIN, _pose(field=field), size), size, atlas.tissue)
    at = (np.arange(size) + 0.5) * field / size - field / 2
    off = at[:, None] ** 2 + at[None] ** 2
    chord = 2.0 * np.sqrt(np.clip(radius**2 - off, 0.0, None)) / 10.0
    inner = off < 45.0**2
    np.testing.assert_allclose(paths.tissue[inner], chord[inner], atol=0.25)
    assert paths.tissue[off > 56.0**2].max() < 1e-3


def test_the_shear_warp_agrees_with_tracing_every_ray() -> None:
    rng = np.random.default_rng(0)
    tissue = rng.random((12, 40, 40)).astype(np.float32)
    tissue = np.pad(tissue, ((2, 2), (30, 30), (30, 30)))
    atlas = _atlas(tissue, (8.0, 2.0, 2.0))
    pose = _pose(distance=900.0, field=90.0)
    paths = project(atlas, Warp(atlas, PLAIN, pose, 12), 12, atlas.tissue)
    slow = trace(atlas, atlas.tissue, source=900.0, field=90.0, size=12)
    np.testing.assert_allclose(paths.tissue, slow, rtol=2e-3, atol=2e-3)


def _width_of(ball_at: float, view: str, distance: float) -> float:
    """Return how wide a ball at depth `ball_at` appears, pixels."""
    y, z, x = np.ogrid[-78:79:4, -99:100:2, -99:100:2]
    tissue = (np.sqrt((y - ball_at) ** 2 + z**2 + x**2) < 24.0).astype(np.float32)
    atlas = _atlas(tissue)
    warp = Warp(atlas, PLAIN, _pose(view, distance), 128)
    middle = project(atlas, warp, 128, atlas.tissue).tissue[62:66].mean(axis=0)
    return float((middle > 0.8).sum())


def test_the_heart_is_magnified_on_ap_films() -> None:
    heart_depth = 40.0  # in front of the middle
    assert _width_of(heart_depth, "AP", 900.0) > _width_of(heart_depth, "PA", 900.0) + 1


@pytest.mark.parametrize("view", ["PA", "AP"])
def test_enlarging_the_heart_raises_the_cardiothoracic_ratio(view: str) -> None:
    atlas = load_atlas()
    ratios = []
    for size_of_heart in (1.0, 1.25, 1.5, 1.75):
        warp = Warp(atlas, PLAIN, _pose(view, 1500.0, 320.0, size_of_heart), 96)
        planes = project(atlas, warp, 96, atlas.tissue, [atlas.heart, atlas.lungs]).planes
        spans = [np.flatnonzero((planes[..., i] > 1.0).any(axis=0)) for i in (0, 1)]
        heart, chest = (span[-1] - span[0] + 1 for span in spans)
        ratios.append(heart / chest)
    assert ratios == sorted(ratios)
    assert ratios[-1] > ratios[0] + 0.12


def test_a_random_field_is_the_same_on_a_finer_grid() -> None:
    coarse, fine = (
        smooth_field(np.random.default_rng(4), shape, (2, 5)) for shape in ((8, 10), (24, 30))
    )
    np.testing.assert_allclose(fine[1::3, 1::3], coarse, atol=1e-5)


def test_a_random_field_has_mean_0_and_variance_1() -> None:
    fields = [smooth_field(np.random.default_rng(n), (20, 20), (7, 7)) for n in range(60)]
    assert abs(np.mean(fields)) < 0.05
    assert 0.8 < np.std(fields) < 1.2


def test_splatting_keeps_the_volume() -> None:
    atlas = _atlas(np.zeros((10, 12, 14), dtype=np.float32))
    points = np.random.default_rng(1).uniform(-8, 8, (50, 3))
    field = splat(atlas, points, np.full(50, 3.0))
    assert field.sum() * np.prod(atlas.step) == pytest.approx(150.0, rel=1e-5)


def test_more_water_is_whiter_and_metal_whitest() -> None:
    thick = np.tile(np.linspace(2, 20, 64, dtype=np.float32), (64, 1))
    metal = np.zeros_like(thick)
    metal[30:34, 20:24] = 4.0
    paths = Paths(thick, np.zeros_like(thick), np.zeros((64, 64, 0), dtype=np.float32))
    film = expose(paths, metal, SHARP, 2.0, np.random.default_rng(0))
    columns = np.median(film, axis=0)
    assert (np.diff(columns[8:-8]) > -0.01).all()
    assert columns[-8] - columns[8] > 0.5
    assert film[31, 22] > film[10, 22] + 0.2


def test_fewer_quanta_make_more_noise() -> None:
    flat = np.full((64, 64), 10.0, dtype=np.float32)
    flat[:, :8] = 1.0
    paths = Paths(flat, np.zeros_like(flat), np.zeros((64, 64, 0), dtype=np.float32))
    noise = []
    for quanta in (1e6, 1e5, 1e4):
        exposure = Exposure(**{**vars(SHARP), "quanta": quanta})
        film = expose(paths, np.zeros_like(flat), exposure, 2.0, np.random.default_rng(0))
        noise.append(film[20:44, 20:44].std())
    assert noise[0] < noise[1] < noise[2]


def test_the_atlas_says_where_the_lungs_are() -> None:
    atlas = load_atlas()
    right, left = atlas.side(left=False), atlas.side(left=True)
    _, _, x = np.broadcast_arrays(*atlas.axes())
    assert not (right & left).any()
    assert x[right].mean() < -40 < 40 < x[left].mean()
    assert np.median(atlas.tissue[atlas.lungs > 0.95]) < 0.3
    assert np.median(atlas.tissue[atlas.heart > 0.95]) > 0.95
    assert atlas.wall[atlas.side(left=True)].max() < 150
