"""Hide a window and see how far an image moves away: formulas, xaitk's package, laws, refusals."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

import reference_saliency as reference
from hilum.encoders import random_encoder
from hilum.encoders.device import choose_engine
from hilum.errors import UsageError, WeightsError
from hilum.explain.compared import Compared, Pixels
from hilum.explain.masked import Masked, Masking, fill_of, fingerprint, masked_vectors
from hilum.explain.sbsm import blurred, masked_query, sbsm
from hilum.explain.windows import make_windows

SIDE = 32
SMALL = Masking(window=9, stride=4)


def network(
    architecture: str = "test_resnet",
    channels: int = 1,
    batch_size: int = 32,
    *,
    bf16: bool = False,
) -> Compared:
    engine = choose_engine("cpu", "bf16" if bf16 else "fp32")
    encoder = random_encoder(architecture, 3, size=SIDE, channels=channels, engine=engine)
    return Compared(encoder, batch_size=batch_size)


def images(n: int, channels: int = 1, seed: int = 0) -> Pixels:
    """Smooth spots on noise, so that some windows matter more than others."""
    rng = np.random.default_rng(seed)
    shape = (n, SIDE, SIDE) if channels == 1 else (n, SIDE, SIDE, channels)
    pixels = rng.integers(60, 120, shape)
    for one, (y, x) in zip(pixels, rng.integers(0, SIDE - 10, (n, 2)), strict=True):
        one[y : y + 10, x : x + 10] += 120
    return pixels.astype(np.uint8)


def prepared(compared: Compared, pixels: Pixels) -> NDArray[np.float64]:
    return np.asarray(compared.prepare(pixels).double().numpy())


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("architecture", ["test_resnet", "test_vit"])
def test_maps_are_the_formulas(architecture: str, channels: int) -> None:
    compared = network(architecture, channels)
    query, retrieved = images(1, channels, seed=1)[0], images(2, channels, seed=2)
    found = sbsm(compared, query, retrieved, masking=SMALL)
    masks = reference.masks_x_mir(SIDE, 9, 4)
    asked = prepared(compared, query[None])[0]
    for ours, image in zip(found.retrieved, prepared(compared, retrieved), strict=True):
        slow = reference.sbsm(compared.module, asked, image, masks)
        assert slow.max() > 1e-3
        np.testing.assert_allclose(ours, slow, atol=1e-5)
    assert found.query is None
    assert len(found) == 2


def test_a_window_is_filled_with_the_value_that_was_asked_for() -> None:
    compared = network()
    query, retrieved = images(2, seed=4)
    masking = Masking(window=9, stride=4, fill=255)
    ours = sbsm(compared, query, retrieved[None], masking=masking).retrieved[0]
    asked, image = prepared(compared, np.stack([query, retrieved]))
    masks = reference.masks_x_mir(SIDE, 9, 4)
    slow = reference.sbsm(compared.module, asked, image, masks, fill=(1 - 0.5) / 0.25)
    np.testing.assert_allclose(ours, slow, atol=1e-5)
    colour = fill_of(network(channels=3).spec, (0, 127.5, 255)).flatten()
    np.testing.assert_allclose(colour, [-2, 0, 2], atol=1e-6)


def test_xaitk_agrees_under_its_own_convention() -> None:
    """xaitk scales each map by its highest value; ours are raw, so ours are scaled here."""
    reason = "xaitk-saliency is an optional dependency of the tests"
    stack = pytest.importorskip(
        "xaitk_saliency.impls.gen_image_similarity_blackbox_sal.sbsm", reason=reason
    )
    smqtk = pytest.importorskip(
        "smqtk_descriptors.interfaces.image_descriptor_generator", reason=reason
    )
    compared = network()

    class Descriptor(smqtk.ImageDescriptorGenerator):  # type: ignore[misc, name-defined, unused-ignore]
        def generate_arrays_from_images(self, arrays: Any) -> Any:
            for pixels in arrays:
                yield compared.embed_unit(compared.prepare(pixels[None])).numpy()[0]

        def get_config(self) -> dict[str, Any]:
            return {}

    pixels = images(3, seed=5)
    theirs = stack.SBSMStack((9, 9), (4, 4), fill=128)
    maps = theirs.generate(pixels[0], list(pixels[1:]), Descriptor())  # "reference" is retrieved
    masking = Masking(window=9, stride=4, convention="xaitk", fill=128)
    for query, their_map in zip(pixels[1:], maps, strict=True):
        ours = sbsm(compared, query, pixels[:1], masking=masking).retrieved[0]
        np.testing.assert_allclose(ours / ours.max(), their_map, atol=1e-4)


@pytest.mark.parametrize("outside", ["mask", "blur"])
def test_a_query_can_be_asked_with_a_part_of_it(outside: Any) -> None:
    compared = network()
    query, retrieved = images(2, seed=6)
    mask = np.zeros((SIDE, SIDE), bool)
    mask[4:20, 8:30] = True
    asked, image = prepared(compared, np.stack([query, retrieved]))
    around = reference.blurred(asked, 8.0) if outside == "blur" else 0
    part = np.where(mask, asked, around)
    ours = sbsm(
        compared, query, retrieved[None], masking=SMALL, mask=mask, outside=outside
    ).retrieved[0]
    slow = reference.sbsm(compared.module, part, image, reference.masks_x_mir(SIDE, 9, 4))
    np.testing.assert_allclose(ours, slow, atol=1e-5)


def test_a_query_mask_of_half_the_side_says_the_same() -> None:
    query = torch.randn(1, 1, 8, 8)
    mask = np.zeros((4, 4), bool)
    mask[1:3, 2:] = True
    expected = masked_query(query, np.kron(mask, np.ones((2, 2))).astype(bool), "mask")
    torch.testing.assert_close(masked_query(query, mask, "mask"), expected)


def test_a_query_mask_of_any_side_stays_where_it_is() -> None:
    """Of 3 cells over 8 pixels the middle one holds those whose middle it does: 3 and 4."""
    mask = np.zeros((3, 3), bool)
    mask[1, 1] = True
    larger = masked_query(torch.ones(1, 1, 8, 8), mask, "mask")
    assert larger[0, 0].nonzero().tolist() == [[3, 3], [3, 4], [4, 3], [4, 4]]
    fine = np.zeros((12, 12), bool)
    fine[1::3, 1::3] = True  # the middle of each pixel's 3 x 3
    assert masked_query(torch.ones(1, 1, 4, 4), fine, "mask").all()


def test_a_blurred_even_image_is_even_up_to_its_edges() -> None:
    torch.testing.assert_close(
        blurred(torch.full((1, 3, 20, 30), 7.0), 8.0), torch.full((1, 3, 20, 30), 7.0)
    )


def some_masked(seed: int, closeness: float) -> tuple[Masked, NDArray[np.float64]]:
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=5) + closeness * rng.normal(size=(28, 5))
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    plain = rows.astype(np.float32)
    windows = make_windows(4, 4, window=2, stride=1)
    return Masked(plain[0], plain[1:26], windows, ""), plain[26:].astype(np.float64)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10_000), closeness=st.floats(1e-4, 1))
def test_one_product_gives_what_differences_of_distances_give(seed: int, closeness: float) -> None:
    masked, queries = some_masked(seed, closeness)
    found = masked.farther(queries.astype(np.float32))
    for query, row in zip(queries, found, strict=True):
        before = np.linalg.norm(query - masked.whole)
        after = np.linalg.norm(query - masked.vectors.astype(np.float64), axis=1)
        np.testing.assert_allclose(row, after - before, atol=2e-6 * max(closeness, 0.05))


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_no_window_takes_an_image_farther_than_it_moves_it(seed: int) -> None:
    masked, queries = some_masked(seed, 0.5)
    rises = masked.farther(queries.astype(np.float32))
    moved = np.linalg.norm(masked.vectors - masked.whole, axis=1)
    assert (np.abs(rises) <= moved + 1e-6).all()  # the triangle's inequality


@pytest.mark.parametrize("fast", [False, True])
def test_beside_itself_an_image_has_what_moves_it(fast: bool) -> None:
    """So query, image and hidden images are embedded in one precision, whichever is asked for."""
    compared, pixels = network(bf16=True), images(1, seed=7)
    masking = Masking(9, 4, fast=fast)
    masked = masked_vectors(compared, pixels[0], masking)
    moved = np.linalg.norm((masked.vectors - masked.whole).astype(np.float64), axis=1)
    alone = masked.windows.spread(moved)[None]
    assert alone.max() > 1e-3
    every = len(masking.windows(SIDE))
    for forwards in (None, every):
        found = sbsm(compared, pixels[0], pixels, masking=masking, forwards=forwards).retrieved
        np.testing.assert_allclose(found, alone, atol=1e-6)


def test_what_is_hidden_by_its_own_colour_changes_nothing() -> None:
    compared = network()
    grey = np.full((2, SIDE, SIDE), 90, np.uint8)
    maps = sbsm(compared, grey[0], grey, masking=Masking(9, 4, fill=90)).retrieved
    assert maps.max() < 1e-6


def test_the_batch_size_changes_nothing() -> None:
    pixels = images(2, seed=8)
    small = sbsm(network(batch_size=7), pixels[0], pixels[1:], masking=SMALL).retrieved
    large = sbsm(network(batch_size=500), pixels[0], pixels[1:], masking=SMALL).retrieved
    np.testing.assert_allclose(small, large, atol=1e-6)


def test_stored_vectors_are_not_computed_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compared, pixels = network(), images(3, seed=9)
    first = sbsm(compared, pixels[0], pixels[2:], masking=SMALL, store=tmp_path / "kept")
    seen: list[int] = []
    embed = Compared.embed_unit

    def counted(self: Compared, given: torch.Tensor, **how: bool) -> torch.Tensor:
        seen.append(len(given))
        return embed(self, given, **how)

    monkeypatch.setattr(Compared, "embed_unit", counted)
    again = sbsm(compared, pixels[0], pixels[2:], masking=SMALL, store=tmp_path / "kept")
    np.testing.assert_array_equal(first.retrieved, again.retrieved)
    assert seen == [1]  # the query
    other = sbsm(compared, pixels[1], pixels[2:], masking=SMALL, store=tmp_path / "kept")
    plain = sbsm(compared, pixels[1], pixels[2:], masking=SMALL)
    np.testing.assert_array_equal(other.retrieved, plain.retrieved)


def test_what_is_stored_is_of_one_encoder_image_and_setting(tmp_path: Path) -> None:
    compared, pixels = network(), images(2, seed=10)
    marks = {
        masked_vectors(one, image, masking, store=tmp_path).fingerprint
        for one in (compared, network("test_vit"))
        for image in pixels
        for masking in (SMALL, Masking(9, 5), Masking(9, 4, fill=0))
    }
    assert len(marks) == 12
    assert {file.stem for file in tmp_path.iterdir()} == marks


def test_what_is_stored_fast_is_of_one_precision() -> None:
    pixels = images(1)[0]
    exact, rough = network(), network(bf16=True)
    assert exact.encoder.fingerprint == rough.encoder.fingerprint
    plain, fast = Masking(9, 4), Masking(9, 4, fast=True)
    assert fingerprint(exact, pixels, plain) == fingerprint(rough, pixels, plain)
    assert fingerprint(exact, pixels, fast) != fingerprint(rough, pixels, fast)


def test_a_broken_store_is_refused(tmp_path: Path) -> None:
    compared, pixels = network(), images(1)[0]
    kept = masked_vectors(compared, pixels, SMALL, store=tmp_path)
    (tmp_path / f"{kept.fingerprint}.safetensors").write_bytes(b"not this")
    with pytest.raises(WeightsError, match=r"not a readable \.safetensors file"):
        masked_vectors(compared, pixels, SMALL, store=tmp_path)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"masking": Masking(window=40)}, r"window of 40 pixels does not fit .* 32 × 32"),
        ({"masking": Masking(9, 4, fill=300)}, r"cannot become 300; .* 0 to 255"),
        ({"masking": Masking(9, 4, fill=(1, 2))}, r"cannot become \(1, 2\); .* or 1 of them"),
        ({"mask": np.zeros((8, 8), bool)}, r"something true in it; got bool .* 0 true"),
        ({"mask": np.ones((8, 9), bool)}, r"a square of true and false .* shape \(8, 9\)"),
        ({"mask": np.ones((8, 8))}, r"a square of true and false .* got float64"),
        ({"mask": np.ones((8, 8), bool), "outside": "fade"}, r"'fade' .* from mask, blur"),
    ],
    ids=["window", "fill", "fills", "empty", "oblong", "numbers", "outside"],
)
def test_what_does_not_fit_is_named(settings: dict[str, Any], said: str) -> None:
    pixels = images(2)
    with pytest.raises(UsageError, match=said):
        sbsm(network(), pixels[0], pixels[1:], **({"masking": SMALL} | settings))


def test_queries_of_another_length_are_refused() -> None:
    masked, _ = some_masked(0, 0.5)
    with pytest.raises(ValueError, match=r"queries of shape \(q, 5\), got \(2, 4\)"):
        masked.farther(np.zeros((2, 4), np.float32))
