"""From a collection and an encoder to maps of pairs, their scores, files, pictures and the page."""

import csv
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from hilum import cli
from hilum.appraisal.heat_maps import Showing
from hilum.appraisal.similar_cases import pairs_page, write_pairs
from hilum.collection import Collection, open_collection
from hilum.encoders import random_encoder, random_pair, save_encoder
from hilum.encoders.device import choose_engine
from hilum.encoders.text_tower import TextSpec
from hilum.errors import CollectionError, UsageError
from hilum.explain import boxes_of, explain, read_maps
from hilum.explain.insertion import Steps, area
from hilum.explain.pair_files import save_x_mir
from hilum.explain.pair_scores import as_findings, score_pairs
from hilum.explain.similarity import SIMILARITY, compared, explain_similar
from hilum.images import Geometry
from hilum.ingest import ingest
from hilum.retrieve import retrieve
from small_source import small_source

SIDE = 32
FLOAT = choose_engine("cpu", "fp32")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a collection of 24 oblong films, an encoder and its vectors."""
    root = tmp_path_factory.mktemp("hospital")
    source = small_source(root / "small", 24, width=80, height=60).root
    found = ingest(source, root / "c.lance", layout="folder", size=48, workers=1).collection
    encoder = random_encoder("test_resnet", seed=1, size=SIDE, engine=FLOAT)
    save_encoder(encoder, root / "e.safetensors")
    save_encoder(random_encoder("test_resnet", seed=2, size=SIDE), root / "other.safetensors")
    pair = random_pair("test_resnet", size=SIDE, dim=8, context=16, text=TextSpec(16, 1, 2))
    save_encoder(pair, root / "p.safetensors")
    import hilum

    hilum.embed(found, encoder, name="own")
    return root


@pytest.fixture
def collection(folder: Path) -> Collection:
    return open_collection(folder / "c.lance")


def maps_of(collection: Collection, folder: Path, method: str = "simcam", **more: Any) -> Any:
    return explain_similar(
        collection, folder / "e.safetensors", "i0002", ["i0005", "i0000", "i0009"], method=method,
        device="cpu", **more,
    )  # fmt: skip


# --------------------------------------------------------------------------- maps of a collection


def test_maps_are_of_the_retrieved_images_and_then_of_the_query(
    collection: Collection, folder: Path
) -> None:
    maps = maps_of(collection, folder)
    assert maps.image_ids == ("i0005", "i0000", "i0009", "i0002", "i0002", "i0002")
    assert maps.targets == ("i0002", "i0002", "i0002", "i0005", "i0000", "i0009")
    network = compared(folder / "e.safetensors", device="cpu")
    units = network.embed_unit(network.prepare(collection.pixels([2, 5, 0, 9]))).numpy()
    cosines = units[1:] @ units[0]
    assert maps.logits == pytest.approx([*cosines, *cosines], abs=1e-6)
    assert maps.scores == pytest.approx(maps.logits)
    alone = SIMILARITY["simcam"](network, collection.pixels([2])[0], collection.pixels([5, 0, 9]))
    assert maps.signed[:3] == pytest.approx(alone.retrieved)
    assert maps.signed[3:] == pytest.approx(alone.query)
    assert maps.in_original(0).shape == (60, 80)
    assert maps.origin.explains == "pair"
    assert maps.origin.layer == "layer3"  # the last with more than one cell
    assert maps.origin.fingerprint == network.encoder.fingerprint


def test_a_method_that_hides_pixels_maps_the_retrieved_images_alone(
    collection: Collection, folder: Path
) -> None:
    maps = maps_of(collection, folder, "sbsm", settings={"window": 12, "stride": 6})
    assert maps.image_ids == ("i0005", "i0000", "i0009")
    assert maps.origin.layer == "pixels"
    assert maps.origin.grid == (SIDE, SIDE)


def test_windows_keep_their_share_of_the_image(collection: Collection, folder: Path) -> None:
    """24 and 5 of 224 pixels are 3 and 1 of 32."""
    usual = explain_similar(collection, folder / "e.safetensors", "i0002", ["i0005"])
    said = {"window": 3, "stride": 1}
    given = explain_similar(collection, folder / "e.safetensors", "i0002", ["i0005"], settings=said)
    assert usual.signed == pytest.approx(given.signed)


def test_an_image_and_itself_have_one_map(collection: Collection, folder: Path) -> None:
    maps = explain_similar(
        collection, folder / "e.safetensors", "i0002", ["i0002", "i0005"], method="simatt"
    )
    assert maps.image_ids == ("i0002", "i0005", "i0002")
    assert maps.logits[0] == pytest.approx(1)


def test_the_image_side_of_a_pair_of_encoders_is_explained(
    collection: Collection, folder: Path
) -> None:
    maps = explain_similar(
        collection, folder / "p.safetensors", "i0002", ["i0005"], method="simcam"
    )
    assert len(maps) == 2
    assert not maps.diagnoses[0].blank


def test_examples_are_given_by_id(collection: Collection, folder: Path) -> None:
    network = compared(folder / "e.safetensors", device="cpu")
    for given in (["i0007"], "i0007"):
        maps = explain_similar(
            collection, network, "i0002", ["i0005"], method="simatt", settings={"negatives": given}
        )
        pixels = collection.pixels([2, 5, 7])
        wanted = SIMILARITY["simatt"](network, pixels[0], pixels[1:2], negatives=pixels[2:])
        assert maps.signed[:1] == pytest.approx(wanted.retrieved)
    with pytest.raises(UsageError, match="relevance needs the setting 'dissimilar', ids of images"):
        explain_similar(collection, network, "i0002", ["i0005"], method="relevance")
    with pytest.raises(CollectionError, match="has no image 'nobody'"):
        explain_similar(
            collection, network, "i0002", ["i0005"], method="simatt",
            settings={"negatives": ["nobody"]},
        )  # fmt: skip


def test_a_map_of_zeros_says_why(collection: Collection, folder: Path) -> None:
    network = compared(folder / "e.safetensors", device="cpu")
    for one in network.module.parameters():
        one.data.zero_()
    maps = explain_similar(collection, network, "i0002", ["i0005"], method="simcam")
    assert maps.blank() == {"unlike": 2}
    assert "nothing in the image makes the two similar" in maps.diagnoses[0].words()
    assert maps.diagnoses[0].to_json()["gradient_norm"] is None


# --------------------------------------------------------------------------- scores


def test_pairs_are_scored_beside_maps_that_know_nothing(
    collection: Collection, folder: Path
) -> None:
    maps = [
        explain_similar(collection, folder / "e.safetensors", query, cases, method="simcam")
        for query, cases in (("i0002", ["i0005", "i0000"]), ("i0007", ["i0001"]))
    ]
    network = compared(folder / "e.safetensors", device="cpu")
    scores = score_pairs(maps, collection, network, Steps(4), bootstrap=50)
    assert scores.queries == ("i0002", "i0002", "i0007")
    assert scores.retrieved == ("i0005", "i0000", "i0001")
    assert scores.ranks.tolist() == [1, 2, 1]
    assert scores.patients == ("p1", "p1", "p3")
    assert set(scores.curves) == {"model", "random", "centre"}
    for kind, at in (("insertion", 0), ("deletion", 1)):
        own = getattr(scores.curves["model"], kind)
        assert own.shape == (3, 5)
        assert scores.areas()[:, at] == pytest.approx(area(own))
        mean = scores.means["model"][kind]
        assert mean.estimate == pytest.approx(area(own).mean())
        other = scores.means["random"][kind].estimate
        assert other is not None
        less = scores.differences["random"][kind]
        assert less.estimate == pytest.approx(area(own).mean() - other)
        assert less.low is not None
        # all series begin and end with the same images
        for name in ("random", "centre"):
            there = getattr(scores.curves[name], kind)
            assert there[:, [0, -1]] == pytest.approx(own[:, [0, -1]], abs=1e-6)
    text = scores.to_text()
    assert "insertion (higher)" in text
    assert "deletion (lower)" in text
    assert scores.to_json()["better"] == {"insertion": "higher", "deletion": "lower"}
    again = score_pairs(maps, collection, network, Steps(4), bootstrap=50)
    assert again.rows() == scores.rows()


def test_one_query_has_no_interval(collection: Collection, folder: Path) -> None:
    network = compared(folder / "e.safetensors", device="cpu")
    scores = score_pairs([maps_of(collection, folder)], collection, network, Steps(2))
    assert "undefined" not in scores.to_text()
    assert scores.means["model"]["insertion"].low is None


def test_a_map_is_spread_over_the_square_and_not_over_the_image(collection: Collection) -> None:
    """Hot in the lowest row of cells, the black padding of an oblong film: nothing is deleted."""
    network = compared(random_encoder("test_resnet", seed=1, size=48, engine=FLOAT))
    maps = explain_similar(collection, network, "i0002", ["i0005"], method="simcam").take([0])
    low = np.zeros((1, 4, 4), np.float32)
    low[0, 3] = 1
    maps = replace(maps, signed=low, origin=replace(maps.origin, offset=0.0))
    settings = Steps(8, deletion="black")
    curve = score_pairs([maps], collection, network, settings, baselines=False).curves["model"]
    assert maps.geometries[0] == Geometry(80, 60, 48, 0, 6, 48, 36)  # 6 of 48 rows lie below it
    assert curve.deletion[0, 1] == pytest.approx(curve.deletion[0, 0], abs=1e-6)
    assert curve.deletion[0, 2] != pytest.approx(curve.deletion[0, 0], abs=1e-6)


def test_maps_of_pairs_are_scored_where_both_have_a_finding(
    collection: Collection, folder: Path
) -> None:
    marked = boxes_of(collection)  # i0000, i0006, i0012, i0018
    maps = explain_similar(
        collection, folder / "e.safetensors", "i0006", ["i0005", "i0000"], method="simcam"
    )
    found = as_findings(maps, marked)
    assert found is not None
    assert (found.image_ids, found.targets) == (("i0000",), ("Edema",))
    assert found.signed[0] == pytest.approx(maps.signed[1])
    assert as_findings(maps_of(collection, folder), marked) is None


# --------------------------------------------------------------------------- files and pictures


def test_files_of_a_query(collection: Collection, folder: Path, tmp_path: Path) -> None:
    maps = maps_of(collection, folder)
    network = compared(folder / "e.safetensors", device="cpu")
    scores = score_pairs([maps], collection, network, Steps(3))
    (tmp_path / "pictures").mkdir()
    (tmp_path / "pictures" / "0009-old.png").touch()
    with pytest.raises(UsageError, match=r"0009-old\.png would be overwritten, and .* has no maps"):
        write_pairs(Showing(maps, collection), tmp_path, scores)
    assert [path.name for path in tmp_path.iterdir()] == ["pictures"]
    (tmp_path / "maps.json").touch()  # the mark of an earlier run
    made = write_pairs(Showing(maps, collection), tmp_path, scores, x_mir=True, most=2)
    names = sorted(path.name for path in made.files)
    assert names == sorted(
        ["maps.npz", "maps.json", "fidelity.json", "fidelity.csv", "curves.npz", "report.html",
         "inser_dele.json", "key_list.json"]
    )  # fmt: skip
    assert [path.name for path in made.pictures] == ["0001-i0005.png", "0002-i0000.png"]
    assert sorted(path.name for path in (tmp_path / "pictures").iterdir()) == [
        path.name for path in made.pictures
    ]
    arrays = read_maps(tmp_path)
    assert arrays["cosine"] == pytest.approx(maps.logits)
    assert "logit" not in arrays
    told = json.loads((tmp_path / "maps.json").read_text())
    assert told["maps"][0]["cosine"] == pytest.approx(float(maps.logits[0]), abs=1e-6)
    assert "score" not in told["maps"][0]
    with np.load(tmp_path / "curves.npz") as curves:
        assert curves["model_insertion"].shape == (3, 4)
        assert curves["rank"].tolist() == [1, 2, 3]
    with (tmp_path / "fidelity.csv").open() as rows:
        table = list(csv.DictReader(rows))
    assert len(table) == 9
    assert table[1]["retrieved"] == "i0000"
    assert float(table[1]["deletion"]) == pytest.approx(scores.areas()[1, 1], abs=1e-5)
    page = (tmp_path / "report.html").read_text()
    assert "One query has no interval" in page
    assert "Deletion (lower)" in page


def test_x_mirs_files_have_whole_names_as_keys(
    collection: Collection, folder: Path, tmp_path: Path
) -> None:
    network = compared(folder / "e.safetensors", device="cpu")
    maps = [
        explain_similar(collection, network, query, ["i0005", "i0004"], method="simcam")
        for query in ("i0002", "i0007")
    ]
    scores = score_pairs(maps, collection, network, Steps(2), baselines=False)
    numbers, keys = (
        json.loads(path.read_text()) for path in save_x_mir(scores, collection, tmp_path)
    )
    assert list(numbers) == list(keys) == ["i0002.png", "i0007.png"]
    assert keys["i0002.png"] == ["i0005.png.npy", "i0004.png.npy"]
    areas = scores.areas()
    assert numbers["i0007.png"] == [list(areas[2:, 0]), list(areas[2:, 1])]


def test_a_picture_shows_both_images(collection: Collection, folder: Path, tmp_path: Path) -> None:
    for method, settings in (("simcam", {}), ("sbsm", {"window": 12, "stride": 6})):
        maps = maps_of(collection, folder, method, settings=settings)
        made = write_pairs(Showing(maps, collection, boxes_of(collection)), tmp_path / method)
        with Image.open(made.pictures[0]) as picture:
            assert picture.width == 1000
            colours = np.asarray(picture.convert("RGB"))[-600:-140]
        half = colours[:, :480], colours[:, 520:]
        coloured = [bool((np.ptp(one, axis=2) > 40).any()) for one in half]
        assert coloured == [method == "simcam", True]
        page = pairs_page(Showing(maps, collection)).html()
        assert "3 images beside i0002" in page
        assert page.count("data:image/png") == (7 if method == "simcam" else 4)


# --------------------------------------------------------------------------- the command


def run(capsys: pytest.CaptureFixture[str], *args: object) -> tuple[int, str, str]:
    try:
        cli.app([str(one) for one in args], standalone_mode=False)
        code = 0
    except UsageError as error:
        return 2, "", str(error)
    except CollectionError as error:
        return 1, "", str(error)
    out = capsys.readouterr()
    return code, out.out, out.err


def command(folder: Path, out: Path, *more: object) -> list[object]:
    return [
        "explain", folder / "c.lance", *more, "--model", folder / "e.safetensors", "--out", out,
        "--device", "cpu",
    ]  # fmt: skip


def test_named_images_are_explained(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, _ = run(
        capsys,
        *command(folder, tmp_path, "i0005", "i0000", "--query", "i0006", "--method", "simcam"),
        "--fidelity", "--steps", 3, "--x-mir-json", "--bootstrap", 20, "--json",
    )  # fmt: skip
    told = json.loads(out)
    assert code == 0
    assert [one["image_id"] for one in told["cases"]] == ["i0005", "i0000"]
    assert told["fidelity"]["pairs"] == 2
    assert told["scores"]["findings"]["Edema"]["n"] == 1  # i0006 and i0000 have a box
    assert (tmp_path / "inser_dele.json").is_file()
    assert (tmp_path / "scores.csv").is_file()


def test_the_nearest_are_explained(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, _ = run(
        capsys,
        *command(folder, tmp_path, "--query", "i0006", "--embedding", "own", "-k", 2),
        "--method", "simcam", "--set", "rest=exact", "--fidelity", "--steps", 2,
    )  # fmt: skip
    assert code == 0
    assert "rank  cosine  insertion  deletion" in out
    assert len(list((tmp_path / "pictures").iterdir())) == 2


def test_the_query_may_lie_outside_the_images_looked_at(
    collection: Collection, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    others = "image_id > 'i0009'"
    asked = ["--query", "i0006", "--where", others, "--method", "simcam", "--json"]
    code, out, _ = run(
        capsys, *command(folder, tmp_path, *asked, "--embedding", "own", "-k", 2), "--fidelity",
        "--steps", 2,
    )  # fmt: skip
    found = retrieve(collection, "own", like="i0006", where=others, k=2)
    assert code == 0
    assert tuple(one["image_id"] for one in json.loads(out)["cases"]) == found.ids
    code, out, _ = run(capsys, *command(folder, tmp_path, "i0011", *asked))
    assert (code, json.loads(out)["query"]) == (0, "i0006")
    code, _, error = run(capsys, *command(folder, tmp_path, "i0005", *asked))
    assert (code, "has no image 'i0005'" in error) == (1, True)
    code, _, error = run(
        capsys, *command(folder, tmp_path, "i0011", "--query", "i0006", "--where", "colour = 1")
    )
    assert (code, "cannot filter by 'colour = 1': " in error) == (1, True)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["i0005", "--query", "i0002", "--method", "grad-cam"], "not a method for pairs of images"),
        (["i0005", "--query", "i0002", "--set", "size=3"], "sbsm has no setting 'size'; it has wi"),
        (["i0005", "--query", "i0002", "--method", "simcam", "--layer", "x9"], "no layer 'x9'"),
        (["i0005", "--query", "nobody"], "has no image 'nobody'"),
        (["nobody", "who", "--query", "i0002"], "has no image 'nobody', nor 1 others"),
        (["--query", "i0002"], "name the images that were retrieved, or an --embedding"),
        (["i0005", "--query", "i0002", "--masks", "."], "--masks: of no effect without --fid"),
        (["i0005", "--query", "i0002", "--x-mir-json"], "--x-mir-json: of no effect without --f"),
        (["i0005", "--query", "i0002", "--score"], "--score: of no effect with --query; see --fid"),
        (["i0005", "--fidelity"], "--fidelity: for pairs of images; give --query, too"),
        (["i0005", "--set", "rest=exact"], "--set: for pairs of images; give --query, too"),
        (["i0005", "-k", "3", "--steps", "9"], "-k, --steps: for pairs of images; give --query"),
        (["i0005", "--tolerance", "9"], "--tolerance: of no effect without --score"),
        (["i0005", "--query", "i0002", "-k", "3"], "-k: of no effect where images are named"),
        (["i0005", "--query", "i0002", "--steps", "3", "--seed", "1"],
         "--steps, --seed: of no effect without --fidelity"),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_refused(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], more: list[str], said: str
) -> None:
    code, _, error = run(capsys, *command(folder, tmp_path, *more))
    assert code in (1, 2)
    assert said in error


def test_vectors_of_another_encoder_are_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"'own' was made by test_resnet.*different spaces"):
        cli.app(
            ["explain", str(folder / "c.lance"), "--query", "i0002", "--embedding", "own",
             "--model", str(folder / "other.safetensors"), "--out", str(tmp_path)],
            standalone_mode=False,
        )  # fmt: skip
    with pytest.raises(UsageError, match="different spaces"):
        explain_similar(
            open_collection(folder / "c.lance"), folder / "other.safetensors", "i0002", ["i0005"],
            embedding="own",
        )  # fmt: skip


def test_scores_of_another_encoder_or_of_findings_are_refused(
    collection: Collection, folder: Path
) -> None:
    maps = maps_of(collection, folder)
    other = compared(folder / "other.safetensors", device="cpu")
    with pytest.raises(UsageError, match="score them with the encoder that they explain"):
        score_pairs([maps], collection, other)
    with pytest.raises(UsageError, match="there is no map to score"):
        score_pairs([], collection, other)
    with pytest.raises(UsageError, match="resamples are 0 or more and a level is between 0 and 1"):
        score_pairs([maps], collection, other, level=1.0)
    network = compared(folder / "p.safetensors", device="cpu")
    findings = explain(collection, folder / "p.safetensors", ["i0001"], findings=["Mass"])
    with pytest.raises(UsageError, match="these maps explain findings"):
        score_pairs([findings], collection, network)
