"""From a collection and a model to maps, pictures, scores and a page; and the command."""

import csv
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.special import expit
from torch import Tensor, nn

import hilum
from hilum import cli
from hilum.appraisal.heat_maps import Showing, maps_page
from hilum.collection import Collection, open_collection
from hilum.encoders import (
    Classifier,
    ClassifierSpec,
    EncoderSpec,
    HeadSettings,
    TextSpec,
    random_encoder,
    random_pair,
    save_classifier,
    save_encoder,
)
from hilum.encoders.device import choose_engine, own_random_numbers
from hilum.errors import CollectionError, TableError, UsageError, WeightsError
from hilum.explain import (
    METHODS,
    Explained,
    Saliency,
    boxes_of,
    explain,
    read_maps,
    save_maps,
    score_maps,
)
from hilum.explain.cam import for_it
from hilum.explain.layers import find_layer
from hilum.explain.localisation import ALL, MODEL
from hilum.explain.placement import find_offset
from hilum.features import features_of
from hilum.images import Geometry
from hilum.ingest import ingest
from hilum.plots.heatmaps import heat_map, outlined, outlines_of, overlay
from small_source import small_source
from untaught import random_classifier

SIDE = 64
FINDINGS = ("Edema", "Pleural Effusion")


def classifier(
    architecture: str = "test_resnet", seed: int = 1, **settings: Any
) -> Classifier:  # fmt: skip
    dim = {"test_resnet": 96, "test_vit": 64}[architecture]
    image = EncoderSpec(architecture, SIDE, 1, (0.5,), (0.25,), dim)
    spec = ClassifierSpec(image, FINDINGS, head=HeadSettings(hidden=()), **settings)
    return random_classifier(spec, seed=seed, engine=choose_engine("cpu", "fp32"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a collection of 24 oblong films, some with boxes, and two models."""
    root = tmp_path_factory.mktemp("hospital")
    source = small_source(root / "small", 24, width=80, height=60).root
    ingest(source, root / "c.lance", layout="folder", size=48, workers=1)
    save_classifier(classifier(), root / "m.safetensors")
    pair = random_pair("test_resnet", size=SIDE, dim=8, context=16, text=TextSpec(16, 1, 2))
    save_encoder(pair, root / "p.safetensors")
    save_encoder(random_encoder("test_resnet", size=SIDE), root / "e.safetensors")
    return root


@pytest.fixture
def collection(folder: Path) -> Collection:
    return open_collection(folder / "c.lance")


# --------------------------------------------------------------------------- maps of a collection


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("architecture", ["test_resnet", "test_vit"])
def test_a_map_for_every_image_and_finding(
    collection: Collection, architecture: str, method: str
) -> None:
    model = classifier(architecture)
    ids = collection.ids()[4::-1]
    maps = explain(collection, model, ids, method=method, batch_size=2)
    assert maps.image_ids == tuple(one for one in ids for _ in FINDINGS)
    assert maps.targets == FINDINGS * 5
    logits = model.logits(collection.pixels([4, 3, 2, 1, 0]))
    assert maps.logits.reshape(5, 2) == pytest.approx(logits, abs=1e-4)
    assert maps.scores.reshape(5, 2) == pytest.approx(expit(logits), abs=1e-4)
    assert maps.in_original(0).shape == (60, 80)
    assert (maps.in_original(0) >= 0).all()
    assert maps.origin.method == method
    assert maps.origin.fingerprint == model.fingerprint
    assert maps.origin.layer == {"test_resnet": "backbone.layer4",
                                 "test_vit": "backbone.blocks.5.norm1"}[architecture]  # fmt: skip


def test_maps_do_not_depend_on_the_batch(collection: Collection) -> None:
    model = classifier()
    whole = explain(collection, model, method="hires-cam", batch_size=24)
    parts = explain(collection, model, method="hires-cam", batch_size=5)
    assert parts.image_ids == whole.image_ids
    assert parts.signed == pytest.approx(whole.signed, abs=1e-6)
    assert len(whole) == 48


def test_hires_cam_sums_to_the_logit_less_its_bias_through_all_of_it(
    collection: Collection,
) -> None:
    model = classifier()
    with torch.no_grad():
        last = [one for one in model.module.modules() if isinstance(one, nn.Linear)][-1]
        last.bias.copy_(torch.tensor([0.5, -2.0]))
    maps = explain(collection, model, method="hires-cam")
    bias = np.tile([0.5, -2.0], 24)
    assert maps.signed.sum(axis=(1, 2)) == pytest.approx(maps.logits - bias, abs=1e-4)


def test_only_what_is_marked_is_explained(collection: Collection) -> None:
    marked = boxes_of(collection)
    maps = explain(collection, classifier(), marked=marked)
    assert maps.image_ids == ("i0000", "i0006", "i0012", "i0018")
    assert set(maps.targets) == {"Edema"}


def test_a_classifier_that_knows_the_patient_is_given_what_it_knows(
    collection: Collection,
) -> None:
    known = features_of(collection, ("demographics",))
    groups = {name: (own.start, own.stop) for name, own in known.groups.items()}
    model = classifier(inputs=("image", "demographics"), features=known.names, groups=groups)
    maps = explain(collection, model, ["i0003", "i0001"], findings=["effusion"])
    logits = model.logits(collection.pixels([3, 1]), known.values[[3, 1]])
    assert maps.logits == pytest.approx(logits[:, 1], abs=1e-4)


def test_a_pair_is_explained_by_its_sentences(folder: Path, collection: Collection) -> None:
    maps = explain(collection, folder / "p.safetensors", ["i0001"], findings=["effusion", "Mass"])
    assert maps.targets == ("Pleural Effusion", "Mass")
    scores = hilum.zeroshot(collection, folder / "p.safetensors", ["Pleural Effusion", "Mass"],
                            keep=False)  # fmt: skip
    assert maps.scores == pytest.approx(scores.values[1], abs=0.02)  # bf16 there, float32 here
    assert maps.origin.model == "pair test_resnet"


def test_any_network_can_be_put_in_by_hand(collection: Collection) -> None:
    with own_random_numbers(0):
        net = nn.Sequential(
            nn.Conv2d(1, 4, 8, 8), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
            nn.Linear(4, 1),
        ).eval()  # fmt: skip

    def forward(images: Tensor, _: Tensor | None) -> Tensor:
        out: Tensor = net(images)
        return out

    image = EncoderSpec("mine", SIDE, 1, (0.5,), (0.25,), 4)
    mine = Explained(net, forward, image, ("Edema",), "a network of mine", "0" * 64)
    maps = explain(collection, mine, layer="0")
    assert maps.signed.shape == (24, 8, 8)
    assert maps.origin.model == "a network of mine"


def test_a_dead_head_is_said_of_every_map(collection: Collection) -> None:
    """The study's "no gradients": units that are 0 for every image."""
    model = classifier()
    with own_random_numbers(0):
        dead = nn.Sequential(nn.Linear(96, 8), nn.ReLU(), nn.Linear(8, 2)).eval()
    nn.init.constant_(dead[0].bias, -1e4)  # type: ignore[arg-type]
    model.module.head = dead
    maps = explain(collection, model, ["i0001"])
    assert maps.blank() == {"no-gradient": 2}
    assert maps.diagnoses[0].words() == (
        "no gradient reaches the layer, so the score does not depend on it here: it ends at head.1 "
        "(ReLU), where 8 of its 8 outputs are 0"
    )
    assert not maps.in_original(0).any()
    assert maps.to_json()["maps"][0]["diagnosis"]["ends"].startswith("it ends at head.1")


def test_what_cannot_be_explained_is_refused(folder: Path, collection: Collection) -> None:
    model = classifier()

    def refused(error: type[Exception], match: str, **said: Any) -> None:
        with pytest.raises(error, match=match):
            explain(collection, **{"model": model, **said})

    refused(UsageError, "'cam' is not a method; choose from grad-cam, grad-cam", method="cam")
    refused(UsageError, "the batch size must be at least 1; got 0", batch_size=0)
    refused(UsageError, "classifier test_resnet has no output for 'Mass'; it has Edema, Pleural",
            findings=["Mass"])  # fmt: skip
    refused(UsageError, "has no layer 'backbone.layer5'; similar: backbone.layer",
            layer="backbone.layer5")  # fmt: skip
    refused(CollectionError, "has no image 'nobody', nor 1 others", images=["nobody", "none"])
    refused(UsageError, "there is no image to explain", images=[])
    refused(UsageError, "none of the 1 images has Edema, Pleural Effusion marked by boxes",
            images=["i0001"], marked=boxes_of(collection))  # fmt: skip
    refused(UsageError, "gives a vector and no score for a finding", model=folder / "e.safetensors")
    refused(UsageError, "a pair of encoders has no findings of its own: say what",
            model=folder / "p.safetensors")  # fmt: skip
    refused(WeightsError, "not a run folder", model=folder)
    with pytest.raises(UsageError, match=r"no image has a box; give a folder of masks \(--masks\)"):
        boxes_of(collection.where("image_id = 'i0001'"))


# --------------------------------------------------------------------------- where cells look


def convolutions(*layers: nn.Conv2d | nn.ZeroPad2d) -> nn.Module:
    for one in layers:
        if isinstance(one, nn.Conv2d):
            nn.init.constant_(one.weight, 1.0)
            nn.init.zeros_(one.bias)  # type: ignore[arg-type]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(1, 1)).eval()


def strided(padding: int, kernel: int = 3) -> nn.Conv2d:
    return nn.Conv2d(1, 1, kernel, stride=2, padding=padding)


@pytest.mark.parametrize(
    ("network", "expected"),
    [
        (convolutions(strided(1)), -0.25),  # round the first of each two pixels: half of one, of 2
        (convolutions(strided(1), strided(1)), -0.375),  # one and a half pixels of 4
        (convolutions(strided(1), strided(1), strided(1)), -0.4375),
        (convolutions(strided(0, 2), strided(0, 2)), 0.0),  # patches
        (convolutions(nn.ZeroPad2d((0, 1, 0, 1)), strided(0)), 0.25),  # as TensorFlow pads
    ],
)
def test_where_cells_look_is_measured(network: nn.Module, expected: float) -> None:
    layer = find_layer(network, network, (1, 32, 32))
    assert find_offset(network, network, layer, (1, 32, 32)) == pytest.approx(expected, abs=2e-3)


def test_tokens_have_the_place_of_their_patch(collection: Collection) -> None:
    maps = explain(collection, classifier("test_vit"), ["i0001"])
    assert maps.origin.offset == 0


def test_maps_are_drawn_where_their_cells_look() -> None:
    """A cell that looks a quarter of itself further up and left is drawn there."""
    from hilum.explain.saliency import in_original

    grid = np.zeros((4, 4), np.float32)
    grid[2, 1] = 1
    frame = Geometry(64, 64, 64, 0, 0, 64, 64)
    plain, moved = in_original(grid, frame), in_original(grid, frame, -0.25)
    assert moved[: 64 - 4, : 64 - 4] == pytest.approx(plain[4:, 4:])


# --------------------------------------------------------------------------- files


def test_maps_come_back_from_their_file(collection: Collection, tmp_path: Path) -> None:
    maps = explain(collection, classifier(), ["i0002", "i0001"])
    archive, about = save_maps(maps, tmp_path / "out")
    found = read_maps(archive.parent)
    assert np.array_equal(found["maps"], maps.signed)
    assert found["image_id"].tolist() == list(maps.image_ids)
    assert found["target"].tolist() == list(maps.targets)
    assert Geometry(*found["geometry"][0].tolist()) == maps.geometries[0]
    assert found["blank"].dtype == bool
    said = json.loads(about.read_text())
    assert said["origin"]["grid"] == list(maps.origin.grid)
    assert said["maps"][1]["score"] == pytest.approx(maps.scores[1], abs=1e-6)
    assert sorted(one.name for one in archive.parent.iterdir()) == ["maps.json", "maps.npz"]
    with pytest.raises(TableError, match=r"holds no maps\.npz; hilum explain --out writes one"):
        read_maps(tmp_path)


def test_scores_by_boxes_are_those_of_the_boxes(collection: Collection) -> None:
    """A network of hand-made weights that lights up in the box: the measures follow the map."""
    maps = explain(collection, classifier(), marked=boxes_of(collection))
    signed = np.full((4, 6, 6), -1, np.float32)  # cells of 8 × 8 pixels of the square's 48
    signed[:, 1, 1] = 1  # x, y 8 to 16 of the square: 13 to 27, 3 to 17 of the original's 80 × 60
    real = tuple(replace(one, kind="map") for one in maps.diagnoses)
    made = replace(maps.origin, grid=(6, 6), offset=0.0)
    drawn = replace(maps, signed=signed, origin=made, diagnoses=real)
    found = score_maps(drawn, boxes_of(collection), collection, tolerance=0.2, bootstrap=20)
    one = found.findings["Edema"].measures[MODEL]
    heat = drawn.in_original(0)
    inside = heat[8:20, 4:14].sum() / heat.sum()  # the box: x 4 to 14, y 8 to 20
    assert one["energy"].estimate == pytest.approx(inside, rel=1e-6)
    assert one["pointing_near"].estimate == 1
    assert found.findings[ALL].n == 4
    assert found.findings[ALL].patients == 4


# --------------------------------------------------------------------------- pictures


def test_a_film_stays_as_it_is_where_the_map_is_zero_and_visible_where_it_is_one() -> None:
    film = np.tile(np.arange(0, 250, 10, dtype=np.uint8), (4, 1))
    heat = np.zeros(film.shape, np.float32)
    heat[:2] = 1
    drawn = overlay(film, heat)
    assert (drawn[2:] == film[2:, :, None]).all()
    assert np.ptp(drawn[0].astype(int), axis=0).min() > 90  # 0.4 of 240 is left of the film
    dark = np.zeros_like(film)
    steps = [np.full(film.shape, share, np.float32) for share in (0.3, 0.6, 1)]
    lightness = [overlay(dark, one).mean() for one in steps]
    assert lightness == sorted(lightness)


def test_outlines_lie_on_the_edges_of_pixels() -> None:
    mask = np.zeros((6, 6), dtype=bool)
    mask[2:4, 1:5] = True
    (line,) = outlines_of(mask)
    assert line.min(axis=0) == pytest.approx([1.25, 2.25])  # a quarter of a pixel inside
    assert line.max(axis=0) == pytest.approx([4.75, 3.75])
    picture = outlined(np.full((60, 60), 128, np.uint8), [line * 10])
    assert picture.shape == (60, 60, 3)
    assert (picture[5, 5] == 128).all()
    assert not (picture[22, 12:48] == 128).all()


def test_a_blank_map_is_never_drawn_as_a_map(collection: Collection) -> None:
    film, heat = np.full((30, 40), 90, np.uint8), np.zeros((30, 40), np.float32)
    plot = heat_map(film, heat, "Edema: score 0.10", "how", blank="nothing speaks for it")
    words = [text.get_text() for axes in plot.axes for text in axes.texts]
    assert words == ["No map\nnothing speaks for it"]
    assert len(plot.axes) == 2  # and no scale, where there are no colours
    plot = heat_map(film, heat + 1, "Edema: score 0.90", "how")
    assert len(plot.axes) == 3
    with_map = plot.axes[1].images[0].get_array()
    assert with_map is not None
    assert len(np.unique(np.asarray(with_map)[0, 0])) > 1


def test_the_page_says_what_is_blank_and_what_was_left_out(collection: Collection) -> None:
    maps = explain(collection, classifier())
    blanked = replace(maps, signed=-np.abs(maps.signed), diagnoses=tuple(
        replace(one, kind="against") if row % 2 else replace(one, kind="map")
        for row, one in enumerate(maps.diagnoses)
    ))  # fmt: skip
    page = maps_page(Showing(blanked, collection)).html()
    assert "48 maps of 24 images: Grad-CAM at backbone.layer4 of classifier test_resnet." in page
    assert "24 of them are blank." in page
    assert "nothing in the image speaks for the finding" in page
    assert "The first 8 of 24, in the order of the collection; none was chosen." in page
    assert "the same for each" not in page
    eigen = replace(maps, origin=replace(maps.origin, method="eigen-cam"))
    assert "the map is the same for each" in maps_page(Showing(eigen, collection)).html()


# --------------------------------------------------------------------------- the command


def run(monkeypatch: pytest.MonkeyPatch, folder: Path, *words: str | Path) -> int:
    monkeypatch.chdir(folder)
    monkeypatch.setattr("sys.argv", ["hilum", "explain", "c.lance", *map(str, words)])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    code = stop.value.code
    return code if isinstance(code, int) else 0


def test_the_command_writes_maps_pictures_scores_and_a_page(
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / "out"
    words = ("--model", "m.safetensors", "--out", out, "--device", "cpu")
    assert not run(monkeypatch, folder, *words, "--score", "--bootstrap", "20", "--pictures", "3",
                   "--json")  # fmt: skip
    said = capsys.readouterr()
    found = json.loads(said.out)
    assert found["maps"] == 4
    assert [Path(one).name for one in found["files"]] == [
        "maps.npz", "maps.json", "scores.json", "scores.csv", "report.html",
    ]  # fmt: skip
    assert len(found["pictures"]) == 3
    assert Path(found["pictures"][0]).name == "0000-i0000-Edema.png"
    assert "3 of 4 maps were drawn; more with --pictures" in said.err
    assert "no output for" not in said.err
    with Image.open(found["pictures"][0]) as picture:
        assert picture.size[0] == 1000
    assert found["scores"] == json.loads((out / "scores.json").read_text())
    rows = list(csv.DictReader((out / "scores.csv").read_text().splitlines()))
    assert [row["series"] for row in rows[:4]] == ["model", "random", "centre", "other patient"]
    assert "What the maps point at" in (out / "report.html").read_text()
    # another run into the same folder leaves nothing of the first
    assert not run(monkeypatch, folder, "i0003", "i0001", *words, "--findings", "Edema",
                   "--method", "layer-cam", "--layer", "backbone.layer3")  # fmt: skip
    assert f"2 maps in {out}" in capsys.readouterr().out
    assert not (out / "scores.json").exists()
    assert len(list((out / "pictures").iterdir())) == 2
    about = json.loads((out / "maps.json").read_text())
    assert [one["image_id"] for one in about["maps"]] == ["i0003", "i0001"]
    assert about["origin"]["layer"] == "backbone.layer3"


def test_the_command_prints_a_table_of_scores(
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    masks = tmp_path / "masks" / "Edema"
    masks.mkdir(parents=True)
    mask = np.zeros((60, 80), np.uint8)
    mask[10:30, 20:50] = 255
    Image.fromarray(mask).save(masks / "i0004.png")
    Image.fromarray(mask).save(masks / "i0005.png")
    (masks.parent / "Mass").mkdir()
    Image.fromarray(mask).save(masks.parent / "Mass" / "i0005.png")
    assert not run(monkeypatch, folder, "--model", "m.safetensors", "--out", tmp_path / "o",
                   "--score", "--masks", masks.parent, "--bootstrap", "10")  # fmt: skip
    said = capsys.readouterr()
    assert "the model has no output for Mass, which is marked too" in said.err
    text = said.out
    assert "against masks" in text
    assert "95% intervals from 10 resamples of patients" in text
    assert max(map(len, text.splitlines())) <= 80
    assert "other patient" in text


def test_the_command_refuses_in_one_sentence(
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    words = ("--model", "m.safetensors", "--out", tmp_path / "o")
    assert run(monkeypatch, folder, *words, "--masks", tmp_path) == 2
    assert "--masks: of no effect without --score" in capsys.readouterr().err
    assert run(monkeypatch, folder, *words, "--method", "magic") == 2
    assert "'magic' is not a method; choose from grad-cam" in capsys.readouterr().err
    assert run(monkeypatch, folder, "nobody", *words) == 1
    assert "has no image 'nobody'" in capsys.readouterr().err
    assert not (tmp_path / "o").exists()
    mine = tmp_path / "o" / "scores.csv"
    mine.parent.mkdir()
    mine.write_text("image_id,Edema")
    for more in ((), ("--query", "i0001", "i0002")):
        assert run(monkeypatch, folder, *words[2:], "--model", "nowhere", *more) == 2
        said = " ".join(capsys.readouterr().err.split())
        assert "scores.csv would be overwritten" in said
        assert "has no maps.json, which an earlier run would have left: name another" in said
    assert mine.read_text() == "image_id,Edema"


def test_the_door_opens_on_the_function(collection: Collection) -> None:
    assert isinstance(hilum.explain(collection, classifier(), ["i0001"]), hilum.Saliency)
    assert hilum.Saliency is Saliency
    maps = hilum.explain(collection, classifier(), ["i0001"])
    assert np.array_equal(for_it(maps.signed), np.maximum(maps.signed, 0))
