"""Maps against what is marked: measures of one map, baselines, and intervals by patient."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

import reference_fidelity
from hilum.errors import SourceError, UsageError
from hilum.evaluate.draws import Draws
from hilum.explain.baselines import BASELINES, CENTRE, OTHER, RANDOM, Baselines, centre, partners
from hilum.explain.diagnosis import Diagnosis
from hilum.explain.fidelity import MEASURED, THRESHOLDS, energy, measure_map, overlaps, pointing
from hilum.explain.localisation import ALL, BEST, MEAN, MODEL, Settings, Values, summarise
from hilum.explain.regions import Regions, read_masks
from hilum.explain.saliency import Origin, Saliency, in_original, joined
from hilum.explain.scoring import measure
from hilum.images import Geometry
from hilum.images.geometry import geometry_of

Array = NDArray[Any]

HEAT = np.array([[0, 1, 2], [0, 4, 1], [0, 0, 0]], np.float32)
REGION = np.array([[0, 1, 1], [0, 0, 1], [0, 0, 0]], dtype=bool)


# --------------------------------------------------------------------------- one map, one region


def test_every_measure_by_hand() -> None:
    """The highest point, 4, is one pixel beside the region; of 8 there are 4 in it."""
    assert pointing(HEAT, REGION) == 0
    assert pointing(HEAT, REGION, 1) == 1
    assert pointing(HEAT, REGION, 0.9) == 0
    assert energy(HEAT, REGION) == 4 / 8
    # limits 0.4 ... 3.6: four pixels reach 1, two reach 2, one reaches 4
    assert overlaps(HEAT, REGION, (0.25, 0.5, 0.75)) == pytest.approx([3 / 4, 1 / 4, 0])


def test_points_of_equal_height_share_the_hit() -> None:
    flat = np.ones((3, 3), np.float32)
    assert pointing(flat, REGION) == pytest.approx(3 / 9)
    assert energy(flat, REGION) == pytest.approx(3 / 9)
    assert overlaps(flat, REGION) == pytest.approx([3 / 9] * 9)


def test_a_blank_map_has_found_nothing() -> None:
    assert measure_map(np.zeros((3, 3), np.float32), REGION, 2).tolist() == [0.0] * len(MEASURED)


def test_a_map_that_is_the_region_has_found_all_of_it() -> None:
    assert measure_map(REGION.astype(np.float32), REGION, 0).tolist() == [1.0] * len(MEASURED)


arrays = st.tuples(st.integers(0, 9999), st.integers(2, 6), st.integers(2, 6))


def case(seed: int, rows: int, columns: int) -> tuple[Array, Array]:
    rng = np.random.default_rng(seed)
    heat = np.maximum(rng.normal(size=(rows, columns)), 0).astype(np.float32).round(1)
    region = rng.random((rows, columns)) < 0.4
    region[rng.integers(rows), rng.integers(columns)] = True
    return heat, region


@settings(max_examples=60)
@given(shape=arrays, tolerance=st.sampled_from([0, 1, 1.5, 2.3]))
def test_measures_are_the_slow_ones(shape: tuple[int, int, int], tolerance: float) -> None:
    heat, region = case(*shape)
    slow = heat.astype(np.float64)
    assert pointing(heat, region, tolerance) == pytest.approx(
        reference_fidelity.pointing(slow, region, tolerance)
    )
    assert energy(heat, region) == pytest.approx(reference_fidelity.energy(slow, region))
    assert overlaps(heat, region) == pytest.approx(
        [reference_fidelity.overlap(slow, region, one) for one in THRESHOLDS]
    )


@given(shape=arrays, scale=st.sampled_from([0.25, 0.5, 2, 4, 1024]))
def test_measures_know_no_unit_and_no_side(shape: tuple[int, int, int], scale: float) -> None:
    heat, region = case(*shape)
    before = measure_map(heat, region, 1)
    assert measure_map(np.float32(scale) * heat, region, 1) == pytest.approx(before)
    turned = [np.ascontiguousarray(one.T[::-1]) for one in (heat, region)]
    assert measure_map(turned[0], turned[1], 1) == pytest.approx(before)
    assert ((before >= 0) & (before <= 1)).all()
    assert before[1] >= before[0]  # a tolerance takes no hit away


def test_what_cannot_be_measured_is_refused() -> None:
    with pytest.raises(ValueError, match=r"share one frame; got shapes \(3, 3\) and \(2, 3\)"):
        pointing(HEAT, REGION[:2])
    with pytest.raises(ValueError, match="the region is empty"):
        energy(HEAT, np.zeros((3, 3), dtype=bool))
    for wrong in (-HEAT, HEAT * np.nan):
        with pytest.raises(ValueError, match="is 0 or above, and a number, everywhere"):
            overlaps(wrong, REGION)


# --------------------------------------------------------------------------- frames


def geometry(width: int = 40, height: int = 40, size: int = 32) -> Geometry:
    return geometry_of(width, height, size)


@pytest.mark.parametrize(("width", "height"), [(40, 40), (60, 30), (20, 50), (8, 16)])
def test_a_map_in_the_original_frame_is_the_grid_between_its_centres(
    width: int, height: int
) -> None:
    """Pixel by pixel through the square, against bilinear weights written out."""
    frame = geometry(width, height)
    grid = np.random.default_rng(0).random((4, 4), dtype=np.float32)
    found = in_original(grid, frame)
    assert found.shape == (height, width)
    for row in range(height):
        for column in range(width):
            (point,) = frame.points_to_square([[column + 0.5, row + 0.5]]) / 8  # pixels per cell
            slow = reference_fidelity.bilinear(grid.astype(np.float64), *point)
            assert found[row, column] == pytest.approx(slow, abs=1e-5)


def test_a_map_in_the_original_frame_is_what_the_geometry_makes_of_the_square() -> None:
    """An image as large as its square: the house's own way from square to original."""
    frame = geometry(64, 64, 64)
    grid = np.random.default_rng(0).random((4, 4), dtype=np.float32)
    square = cv2.resize(grid, (64, 64), interpolation=cv2.INTER_LINEAR)
    assert in_original(grid, frame) == pytest.approx(frame.map_to_original(square), abs=1e-5)


def test_a_grid_of_one_row_or_column_is_spread_too() -> None:
    row = np.array([[0, 1]], np.float32)
    found = in_original(row, geometry(4, 4, 4))
    assert found[0].tolist() == [0, 0.25, 0.75, 1]
    assert (found == found[0]).all()
    assert (in_original(row.T.copy(), geometry(4, 4, 4)) == found.T).all()


# --------------------------------------------------------------------------- regions


def test_a_pixel_is_in_a_box_if_its_centre_is() -> None:
    boxes = Regions(
        "boxes", boxes={("i", "Mass"): np.array([[1.5, 0.6, 2, 1], [7.2, 7.2, 0.1, 0.1]])}
    )
    mask = boxes.mask("i", "Mass", geometry(8, 8, 8))
    assert sorted(map(tuple, np.argwhere(mask).tolist())) == [(1, 1), (1, 2), (7, 7)]
    assert boxes.has("i", "Mass")
    assert not boxes.has("i", "Edema")
    assert boxes.outline("i", "Edema").shape == (0, 4)
    assert boxes.findings == ("Mass",)
    assert len(boxes) == 1


def test_masks_of_a_phantom_are_bits_and_others_are_files(tmp_path: Path) -> None:
    hospital, folder = tmp_path / "hospital", tmp_path / "masks"
    (hospital / "masks").mkdir(parents=True)
    (folder / "Pleural_Effusion").mkdir(parents=True)
    (folder / "Edema").mkdir(parents=True)
    (hospital / "phantom.json").write_text('{"findings": ["Edema", "Mass", "Nodule"]}')
    bits = np.zeros((6, 4), np.uint16)
    bits[1, 2], bits[3, 3] = 0b010, 0b110
    cv2.imwrite(str(hospital / "masks" / "a.png"), bits)
    grey = np.zeros((6, 4), np.uint8)
    cv2.imwrite(str(folder / "Edema" / "a.png"), grey)
    grey[5, 0] = 9
    cv2.imwrite(str(folder / "Pleural_Effusion" / "a.png"), grey)
    found = read_masks(hospital, ["a", "b"])
    assert set(found) == {("a", "Mass"), ("a", "Nodule")}
    frame = geometry(4, 6, 6)
    assert np.argwhere(found.mask("a", "Mass", frame)).tolist() == [[1, 2], [3, 3]]
    assert np.argwhere(found.mask("a", "Nodule", frame)).tolist() == [[3, 3]]
    other = read_masks(folder, ["a", "b"])  # an empty mask marks nothing
    assert set(other) == {("a", "Pleural Effusion")}
    assert np.argwhere(other.mask("a", "Pleural Effusion", frame)).tolist() == [[5, 0]]
    with pytest.raises(SourceError, match="the mask is 4 × 6 pixels, the image 40 × 40"):
        found.mask("a", "Mass", geometry())
    with pytest.raises(SourceError, match="holds no mask of these images; expected a phantom"):
        read_masks(folder, ["b"])
    (folder / "Edema" / "c.png").write_bytes(b"no picture")
    with pytest.raises(SourceError, match=r"c\.png: expected a grey PNG with a mask"):
        read_masks(folder, ["c"])


# --------------------------------------------------------------------------- baselines


def maps(n: int, targets: list[str], signed: Array | None = None, side: int = 16) -> Saliency:
    rng = np.random.default_rng(4)
    grids = rng.normal(size=(n, 4, 4)).astype(np.float32) if signed is None else signed
    kinds = ["map" if one.max() > 0 else "against" for one in grids]
    return Saliency(
        tuple(f"i{row}" for row in range(n)), tuple(targets), grids,
        (geometry(side, side, side),) * n, np.zeros(n, np.float32),
        tuple(Diagnosis(kind, 1, 0, 0, 1, 0) for kind in kinds),  # type: ignore[arg-type]
        Origin("grad-cam", "layer4", (4, 4), "a model", "f" * 64, side, "c.lance", 1),
    )  # fmt: skip


def test_the_centre_prior_is_highest_in_the_middle_of_the_image_not_of_the_square() -> None:
    heat = centre(geometry(30, 20))
    assert heat.shape == (20, 30)
    assert np.argwhere(heat > heat.max() - 1e-6).tolist() == [[9, 14], [9, 15], [10, 14], [10, 15]]
    assert heat == pytest.approx(heat[::-1, ::-1])
    assert heat[10, 0] / heat[10, 14] == pytest.approx(np.exp(-2 * (29 / 30) ** 2), rel=0.01)


def test_a_partner_is_another_patient_with_a_map_of_the_same_finding() -> None:
    targets = ["Mass"] * 4 + ["Edema"] * 2
    found = partners(targets, list("aabbcc"), [False, False, True, False, False, False], 0)
    assert set(found[:2].tolist()) == {3}  # row 2 is blank, row 1 is the same patient
    assert set(found[2:4].tolist()) <= {0, 1}
    assert found[4:].tolist() == [-1, -1]


def test_baselines_are_drawn_by_seed_and_are_in_the_frame_of_the_image() -> None:
    made = Baselines(maps(3, ["Mass"] * 3), np.array([1, 2, -1]), draws=3, seed=1)
    noise = made.maps(0, RANDOM)
    assert [one.shape for one in noise] == [(16, 16)] * 3
    assert not np.array_equal(noise[0], noise[1])
    assert np.array_equal(noise[0], made.maps(0, RANDOM)[0])
    assert not np.array_equal(noise[0], replace(made, seed=2).maps(0, RANDOM)[0])
    assert np.array_equal(made.maps(0, OTHER)[0], made.saliency.in_original(1))
    assert made.maps(2, OTHER) == []
    assert len(made.maps(0, CENTRE)) == 1


def test_noise_has_the_energy_of_the_area() -> None:
    """Over many draws: a law that no map of an image enters."""
    boxes = {(f"i{row}", "Mass"): np.array([[4.0, 4.0, 6.0, 4.0]]) for row in range(3)}
    found = measure(
        maps(3, ["Mass"] * 3), Regions("boxes", boxes=boxes), list("abc"),
        tolerance=0.1, draws=200, seed=0,
    )  # fmt: skip
    assert found.by_series[RANDOM][:, 2] == pytest.approx(24 / 256, abs=0.01)


# --------------------------------------------------------------------------- means and intervals


def values(seed: int, n: int, findings: int, patients: int) -> Values:
    rng = np.random.default_rng(seed)
    by_series = {name: rng.random((n, len(MEASURED))) for name in (MODEL, *BASELINES)}
    by_series[OTHER][0] = np.nan
    targets = [f"F{row % findings}" for row in range(n)]
    owners = [f"p{row}" for row in rng.integers(0, patients, n)]
    return Values(tuple(map(str, range(n))), tuple(targets), tuple(owners), rng.random(n) < 0.3,
                  by_series)  # fmt: skip


@settings(max_examples=10)
@given(seed=st.integers(0, 999), findings=st.integers(1, 3))
def test_resamples_are_those_of_patients_drawn_one_by_one(seed: int, findings: int) -> None:
    own = values(seed, 12, findings, 5)
    names = sorted(set(own.patients))
    draws = Draws(len(names), 30, seed)
    how = Settings("boxes", 0.1, 3, 30, 0.9, seed)
    origin = maps(1, ["F0"]).origin
    found = summarise(own, draws, how, origin)
    counts = np.concatenate([part.T for _, part in draws.counts(7)])

    def mean(series: str, finding: str | None, drawn: Array, *, both: str = "") -> Array:
        total, number = np.zeros(len(MEASURED)), 0.0
        for row, target in enumerate(own.targets):
            if finding not in (None, target) or np.isnan(own.by_series[both or series][row, 0]):
                continue
            times = drawn[names.index(own.patients[row])]
            total += times * own.by_series[series][row]
            number += times
        out = total / number if number else np.full(len(MEASURED), np.nan)
        return np.append(out, out[3:].max())

    for finding, target in [*((one, one) for one in dict.fromkeys(own.targets)), (ALL, None)]:
        whole = mean(MODEL, target, np.ones(len(names)))
        drawn = np.array([mean(MODEL, target, one) for one in counts])
        other = mean(MODEL, target, np.ones(len(names)), both=OTHER)
        other -= mean(OTHER, target, np.ones(len(names)))
        for at, name in enumerate((*MEASURED, BEST)):
            made = found.findings[finding].measures[MODEL][name]
            assert made.estimate == pytest.approx(whole[at])
            known = drawn[~np.isnan(drawn[:, at]), at]
            if made.low is not None:
                assert (made.low, made.high) == pytest.approx(
                    tuple(np.quantile(known, [0.05, 0.95]))
                )
            difference = found.findings[finding].differences[OTHER][name]
            assert difference.estimate == pytest.approx(other[at], nan_ok=True)
    if findings > 1:
        each = [
            found.findings[f"F{at}"].measures[MODEL]["energy"].estimate for at in range(findings)
        ]
        assert found.findings[MEAN].measures[MODEL]["energy"].estimate == pytest.approx(
            np.mean([one for one in each if one is not None])
        )
    assert found.findings[ALL].blank == own.blank.sum()


def test_what_has_no_interval_says_why() -> None:
    own = values(0, 4, 1, 1)
    how = Settings("boxes", 0.1, 3, 10, 0.9, 0)
    found = summarise(own, Draws(1, 10), how, maps(1, ["F0"]).origin).findings["F0"]
    assert found.measures[MODEL]["energy"].low is None
    assert found.measures[MODEL]["energy"].reason == "no interval: all maps are of one patient"
    own.by_series[OTHER][:] = np.nan
    found = summarise(own, Draws(1, 10), how, maps(1, ["F0"]).origin).findings["F0"]
    assert found.measures[OTHER]["energy"].estimate is None
    assert found.measures[OTHER]["energy"].reason == "no other patient has a map of this finding"


def test_the_table_has_a_row_per_finding_and_series() -> None:
    own = values(0, 12, 2, 5)
    found = summarise(own, Draws(5, 20), Settings("boxes", 0.1, 3, 20, 0.9, 0),
                      maps(1, ["F0"]).origin)  # fmt: skip
    header, *rows = found.rows()
    assert header[:6] == ["finding", "series", "n", "patients", "blank", "pointing"]
    assert len(rows) == 4 * (1 + 3 + 3)
    assert {len(row) for row in rows} == {len(header)}
    assert rows[4][:2] == ["F0", f"model minus {RANDOM}"]
    text = found.to_text()
    assert max(map(len, text.splitlines())) <= 80
    assert "grad-cam of a model at layer4, against boxes" in text
    assert found.to_json()["findings"]["F1"]["measures"][MODEL]["iou_best"]["estimate"] > 0


# --------------------------------------------------------------------------- maps in memory


def test_maps_are_taken_joined_and_blank_ones_are_zero() -> None:
    signed = np.stack([-np.ones((4, 4)), np.eye(4)]).astype(np.float32)
    both = maps(2, ["Mass", "Edema"], signed)
    assert both.blank() == {"against": 1}
    assert not both.in_original(0).any()
    assert both.in_original(1).max() == pytest.approx(1, abs=0.2)
    again = joined([both.take([1]), both.take([0])])
    assert again.image_ids == ("i1", "i0")
    assert np.array_equal(again.signed, signed[::-1])
    assert repr(both) == "<Saliency: 2 maps, grad-cam of a model at layer4>"
    assert both.scores.tolist() == [0.5, 0.5]


def test_settings_that_cannot_be_used_are_refused() -> None:
    from hilum.explain.scoring import score_maps

    regions = Regions("boxes", boxes={("other", "Mass"): np.array([[0.0, 0, 1, 1]])})
    for match, said in (
        ("the tolerance is a share of the image's longer side, 0 to 1; got 15", {"tolerance": 15}),
        ("noise is drawn at least once per image; got 0", {"draws": 0}),
        ("resamples are 0 or more and a level is between 0 and 1; got 5, 1.5",
         {"bootstrap": 5, "level": 1.5}),
        ("none of the 1 maps has its finding marked: boxes mark Mass", {}),
    ):  # fmt: skip
        with pytest.raises(UsageError, match=match):
            score_maps(maps(1, ["Mass"]), regions, None, **said)  # type: ignore[arg-type]
