"""Cases like an image: of the collection or a file, without its patient, in the encoder's space."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

import hilum
from hilum import cli
from hilum.collection import Collection, EmbeddingInfo
from hilum.encoders import Encoder, random_encoder, save_encoder
from hilum.errors import CollectionError, ImageError, UsageError
from hilum.images import read_picture
from hilum.ingest import ingest
from hilum.retrieve import Cases, retrieve
from hilum.sheet import SIDE, case_sheet
from reference_training import slow_processor
from small_source import small_source


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    return random_encoder("test_resnet", size=32, engine=slow_processor())


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("like")


@pytest.fixture(scope="module")
def films(folder: Path, encoder: Encoder) -> Collection:
    source = small_source(folder / "source", 12)
    made = ingest(source.root, folder / "c.lance", layout="folder", size=32, workers=1).collection
    return hilum.embed(made, encoder, name="space")


def cosines(films: Collection, image: str) -> dict[str, float]:
    ids, vectors = films.vectors("space")
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return dict(zip(ids, (unit @ unit[ids.index(image)]).tolist(), strict=True))


def test_an_image_finds_others_but_not_itself_nor_its_patient(films: Collection) -> None:
    found = retrieve(films, "space", like="i0004", k=20)
    near = cosines(films, "i0004")
    order = sorted(near, key=lambda image: -near[image])
    assert list(found.ids) == [image for image in order if image not in ("i0004", "i0005")]
    np.testing.assert_allclose(found.scores, [near[image] for image in found.ids], atol=1e-6)


def test_its_patient_may_be_asked_for(films: Collection) -> None:
    found = retrieve(films, "space", like="i0004", k=20, same_patient=True)
    assert len(found) == 11
    assert "i0005" in found.ids
    assert "i0004" not in found.ids


def test_the_query_may_lie_outside_the_images_looked_at(films: Collection) -> None:
    found = retrieve(films, "space", like="i0004", where="visit = 1", k=20)
    assert set(found.ids) == {f"i{n:04}" for n in range(1, 12, 2)} - {"i0005"}


def test_a_file_finds_the_image_it_became(
    films: Collection, folder: Path, encoder: Encoder, tmp_path: Path
) -> None:
    file = shutil.copy(folder / "source" / "films" / "i0007.png", tmp_path / "new one.png")
    found = retrieve(films, "space", like=file, encoder=encoder, k=3)
    assert found.ids[0] == "i0007"
    assert found.scores[0] == pytest.approx(1, abs=1e-5)
    assert retrieve(films, "space", like=Path(file), encoder=encoder, k=3).ids == found.ids


def test_a_quote_in_an_id_is_a_letter(films: Collection) -> None:
    with pytest.raises(UsageError, match=r"i' OR ''='.* is neither the id of an image"):
        retrieve(films, "space", like="i' OR ''='")


def test_what_cannot_be_looked_for_is_said(
    films: Collection, encoder: Encoder, tmp_path: Path
) -> None:
    film = tmp_path / "film.png"
    film.write_bytes(b"no image")
    with pytest.raises(
        UsageError, match="'i9' is neither the id of an image of the collection nor"
    ):
        retrieve(films, "space", like="i9")
    with pytest.raises(UsageError, match=r"film.png is not in the collection: name the encoder"):
        retrieve(films, "space", like=film)
    with pytest.raises(ImageError, match="expected PNG, JPEG or DICOM, got something else"):
        retrieve(films, "space", like=film, encoder=encoder)
    with pytest.raises(UsageError, match="give a text or an image to look for the like of, one"):
        retrieve(films, "space", like="i0001", text="edema")
    with pytest.raises(UsageError, match="give a text or an image"):
        retrieve(films, "space")
    with pytest.raises(UsageError, match="a text needs the pair of encoders"):
        retrieve(films, "space", text="edema")
    with pytest.raises(UsageError, match="no image is left to be found once the query and its pat"):
        retrieve(films, "space", like="i0004", where="patient_id = 'p2'")
    with pytest.raises(UsageError, match="no image is left to be found once the query is left out"):
        retrieve(films, "space", like="i0004", where="image_id = 'i0004'", same_patient=True)
    other = random_encoder("test_resnet", 1, size=32, engine=slow_processor())
    with pytest.raises(UsageError, match="query and images would lie in different spaces"):
        retrieve(films, "space", like=film, encoder=other)
    with pytest.raises(CollectionError, match="there is no embedding 'moco'"):
        retrieve(films, "moco", like="i0004")


def test_a_file_of_any_size_asks_and_an_encoder_of_another_size_may_not(
    films: Collection, folder: Path, encoder: Encoder, tmp_path: Path
) -> None:
    with Image.open(folder / "source" / "films" / "i0007.png") as film:
        film.resize((120, 120), Image.Resampling.LANCZOS).save(tmp_path / "large.png")
    found = retrieve(films, "space", like=tmp_path / "large.png", encoder=encoder, k=1)
    assert found.ids == ("i0007",)
    assert isinstance(found.query, np.ndarray)
    assert found.query.shape == (32, 32)
    larger = random_encoder("test_resnet", size=64, engine=slow_processor())
    with pytest.raises(UsageError, match=r"not by this encoder, test_resnet .*different spaces"):
        retrieve(films, "space", like=tmp_path / "large.png", encoder=larger)


def test_an_empty_gallery_and_one_smaller_than_k_are_said(films: Collection) -> None:
    with pytest.raises(UsageError, match="no image of the collection fulfils 'age > 200'"):
        retrieve(films, "space", like="i0004", where="age > 200")
    few = retrieve(films, "space", like="i0004", where="visit = 1", k=50)
    assert (len(few), few.wanted) == (5, 50)


def tile(page: Path, at: int) -> NDArray[np.uint8]:
    """Return an image of a sheet with two lines above each."""
    left = 8 + at % 8 * (SIDE + 8)
    top = 8 + at // 8 * (SIDE + 56) + 48
    with Image.open(page) as whole:
        return np.asarray(whole)[top : top + SIDE, left : left + SIDE]


def shown(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.asarray(Image.fromarray(pixels).resize((SIDE, SIDE), Image.Resampling.LANCZOS))


def test_the_sheet_shows_the_query_and_then_what_was_found(
    films: Collection, folder: Path, encoder: Encoder, tmp_path: Path
) -> None:
    rows = {image: row for row, image in enumerate(films.ids())}
    found = retrieve(films, "space", like="i0004", k=9)
    (page,) = case_sheet(films, found, tmp_path / "a.png")
    for at, image in enumerate(("i0004", *found.ids)):
        np.testing.assert_array_equal(tile(page, at), shown(films.pixels([rows[image]])[0]))
    with Image.open(page) as whole:
        assert whole.info == {}  # no words beside the pixels
        written = np.asarray(whole)
    assert (written[8:32, 8:120] < 128).any()  # "query"
    assert (written[32:56, 208:320] < 128).any()  # what the nearest shows

    with Image.open(folder / "source" / "films" / "i0007.png") as film:
        turned = film.transpose(Image.Transpose.FLIP_LEFT_RIGHT)  # a film never ingested
        turned.save(tmp_path / "new.png")
    found = retrieve(films, "space", like=tmp_path / "new.png", encoder=encoder, k=3)
    (page,) = case_sheet(films, found, tmp_path / "b.png")
    new = read_picture(tmp_path / "new.png", 32).pixels
    np.testing.assert_array_equal(tile(page, 0), shown(new))
    np.testing.assert_array_equal(tile(page, 1), shown(films.pixels([rows[found.ids[0]]])[0]))


def test_a_long_sheet_goes_on_and_the_file_comes_once(films: Collection, tmp_path: Path) -> None:
    ids = films.ids() * 8
    query = np.full((32, 32), 77, np.uint8)
    pages = case_sheet(films, Cases(ids, np.linspace(1, 0, 96), query=query), tmp_path / "c.png")
    assert [page.name for page in pages] == ["c.png", "c-2.png", "c-3.png"]
    pixels = films.pixels()
    assert (tile(pages[0], 0) == 77).all()
    for page, at, found in ((0, 1, 0), (0, 47, 46), (1, 0, 47), (2, 0, 95)):
        np.testing.assert_array_equal(tile(pages[page], at), shown(pixels[found % 12]))


def test_vectors_of_any_length_are_compared_by_direction(films: Collection) -> None:
    ids, vectors = films.vectors("space")
    stretched = vectors * np.arange(1, 13, dtype=np.float32)[:, None]
    longer = films.add_embedding("longer", [(ids, stretched)], EmbeddingInfo(
        vectors.shape[1], "f" * 64, "stretched"))  # fmt: skip
    assert (
        retrieve(longer, "longer", like="i0003").ids == retrieve(films, "space", like="i0003").ids
    )


def run(monkeypatch: pytest.MonkeyPatch, *words: str | Path) -> int:
    monkeypatch.setattr("sys.argv", ["hilum", "retrieve", *map(str, words)])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    return stop.value.code if isinstance(stop.value.code, int) else 0


def test_the_command_takes_ids_and_files(
    films: Collection, folder: Path, encoder: Encoder, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    base = [films.uri, "--embedding", "space"]
    assert not run(monkeypatch, *base, "--image", "i0004", "-k", "3", "--json")
    found = [row["image_id"] for row in json.loads(capsys.readouterr().out)["cases"]]
    assert found == list(retrieve(films, "space", like="i0004", k=3).ids)
    save_encoder(encoder, tmp_path / "e.safetensors")
    file = folder / "source" / "films" / "i0002.png"
    assert not run(monkeypatch, *base, "--image", file, "--encoder", tmp_path / "e.safetensors")
    assert capsys.readouterr().out.split()[2] == "i0002"
    assert run(monkeypatch, *base, "--image", "i77") == 2
    assert "is neither the id" in capsys.readouterr().err


def test_the_command_measures_how_images_find_their_kind(
    films: Collection, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    base = [films.uri, "--embedding", "space", "--evaluate", "findings", "--bootstrap", "20"]
    assert run(monkeypatch, *base, "--where", "visit = 0") == 2
    assert "the gallery of a query has 5 images" in capsys.readouterr().err
    assert len(films.where("split = 'test'")) == 2
    assert run(monkeypatch, *base, "--same-patient") == 2  # the split test, and no other image
    assert "the gallery of a query has 1 images" in capsys.readouterr().err
    words = ["--findings", "Edema, pleural effusion", "--same-patient", "--where", ""]
    assert not run(monkeypatch, *base, *words)
    text = capsys.readouterr().out
    assert max(len(line) for line in text.splitlines()) <= 80
    assert "other images of the query's patient among the answers" in text
    assert not run(monkeypatch, *base, *words, "--queries", "visit = 0", "--json")
    found = json.loads(capsys.readouterr().out)
    assert set(found["findings"]) == {"Edema", "Pleural Effusion"}
    assert found["gallery"] == 12


def test_reports_need_their_encoder(
    films: Collection, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, films.uri, "--embedding", "space", "--evaluate", "reports") == 2
    assert "reports need --encoder" in capsys.readouterr().err
