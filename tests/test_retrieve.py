"""Retrieval: exact, in bounded memory, ties counted against; intervals that resample patients."""

import json
import math
import shutil
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from hilum import cli
from hilum.collection import Collection, EmbeddingInfo, open_collection
from hilum.encoders import PairEncoder, TextSpec, random_encoder, random_pair, save_encoder
from hilum.errors import CollectionError, UsageError, WeightsError
from hilum.evaluate.draws import Draws
from hilum.ingest import ingest
from hilum.retrieve import evaluate_retrieval, ranks, retrieve
from hilum.retrieve.cases import nearest
from hilum.retrieve.ranks import places
from hilum.retrieve.statistics import by_chance, measures
from reference_retrieve import slow_places, slow_resample
from reference_training import slow_processor
from small_source import small_source

Vectors = NDArray[np.float32]
SAID = (
    "No acute process.", "Mild edema.", "no acute  process", "1. No acute process.", None,
    "Large effusion on the left.", "Mild edema.", " ", "A mass of 3 cm.", "A mass of 4 cm.",
)  # fmt: skip


def unit(seed: int, *shape: int) -> Vectors:
    drawn = np.random.default_rng(seed).normal(size=shape)
    out: Vectors = (drawn / np.linalg.norm(drawn, axis=-1, keepdims=True)).astype(np.float32)
    return out


@pytest.fixture(scope="module")
def pair() -> PairEncoder:
    return random_pair("test_resnet", size=32, dim=8, context=12, text=TextSpec(16, 1, 2),
                       engine=slow_processor())  # fmt: skip


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, pair: PairEncoder) -> Path:
    """Return ten images of five patients with impressions, and vectors under ``space``."""
    folder = tmp_path_factory.mktemp("hospital")
    source = small_source(folder / "small", len(SAID)).root
    lines = (source / "table.csv").read_text().splitlines()
    at = lines[0].split(",").index("report_impression")
    for row, said in enumerate(SAID, start=1):
        cells = lines[row].replace('"Impression, ""', '"').split(",")
        cells[at : len(cells) - 3] = [said or ""]
        lines[row] = ",".join(cells)
    (source / "table.csv").write_text("\n".join(lines) + "\n")
    made = ingest(source, folder / "c.lance", layout="folder", size=32, workers=1).collection
    info = EmbeddingInfo(8, pair.fingerprint, "test_resnet (random weights)")
    made = made.add_embedding("space", [(made.ids(), unit(0, len(SAID), 8))], info)
    other = EmbeddingInfo(8, "b" * 64, "moco-small")
    made.add_embedding("moco", [(made.ids(), unit(1, len(SAID), 8))], other)
    return folder / "c.lance"


@pytest.fixture
def collection(made: Path) -> Collection:
    return open_collection(made)


# --------------------------------------------------------------------------- by a sentence


def test_the_nearest_images_come_first(collection: Collection, pair: PairEncoder) -> None:
    ids, vectors = collection.vectors("space")
    query = pair.encode_texts(["large effusion"])[0]
    cosines = vectors @ query
    cases = retrieve(collection, "space", text="large effusion", encoder=pair, k=4)
    best = sorted(range(len(ids)), key=lambda row: -cosines[row])[:4]
    assert cases.ids == tuple(ids[row] for row in best)
    np.testing.assert_allclose(cases.scores, cosines[best], atol=1e-6)
    assert cases.ranks.tolist() == [1, 2, 3, 4]
    assert len(retrieve(collection, "space", text="large effusion", encoder=pair, k=99)) == 10


def test_only_images_that_fulfil_a_condition_are_looked_at(
    collection: Collection, pair: PairEncoder
) -> None:
    every = retrieve(collection, "space", text="mass", encoder=pair, k=10)
    some = retrieve(collection, "space", text="mass", encoder=pair, k=3, where="visit = 1")
    odd = [image for image in every.ids if int(image[1:]) % 2]
    assert list(some.ids) == odd[:3]


@settings(max_examples=25)
@given(seed=st.integers(0, 99), n=st.integers(1, 30), step=st.integers(1, 9), k=st.integers(1, 12))
def test_chunks_find_what_sorting_everything_finds(seed: int, n: int, step: int, k: int) -> None:
    rng = np.random.default_rng(seed)
    vectors = rng.integers(-2, 3, (n, 3)).astype(np.float32)  # with many ties
    query = np.array([1, 2, -1])
    ids = [f"i{row}" for row in range(n)]
    chunks = ((ids[at : at + step], vectors[at : at + step]) for at in range(0, n, step))
    found = nearest(chunks, query, k)
    order = sorted(range(n), key=lambda row: (-(vectors[row] @ query), row))[:k]
    assert found.ids == tuple(ids[row] for row in order)
    assert found.scores.tolist() == [vectors[row] @ query for row in order]


# --------------------------------------------------------------------------- places


def batched(vectors: Vectors, step: int) -> Any:
    def images() -> Iterator[Vectors]:
        for start in range(0, len(vectors), step):
            yield vectors[start : start + step]

    return images


def test_places_worked_by_hand() -> None:
    images = np.array([[1, 0], [0, 1], [0.6, 0.8]], np.float32)
    texts = np.array([[0.8, 0.6], [0, 1]], np.float32)
    # cosines 0.8, 0 | 0.6, 1 | 0.96, 0.8; the first two images share a report
    found = places(batched(images, 2), texts, np.array([0, 0, 1]))
    # image 1 likes the other report better, and so does image 2; the best of the first report's
    # images has 0.8 and image 2 has 0.96; the second report's image has 0.8 and image 1 has 1
    assert [place.tolist() for place in found] == [[1, 2, 2], [2, 2]]


@settings(max_examples=25)
@given(
    seed=st.integers(0, 999), n=st.integers(2, 14), m=st.integers(2, 6), step=st.integers(1, 6),
    at_once=st.integers(1, 4), coarse=st.booleans(),
)  # fmt: skip
def test_places_are_those_of_the_whole_matrix(
    seed: int, n: int, m: int, step: int, at_once: int, coarse: bool
) -> None:
    rng = np.random.default_rng(seed)
    owner = np.concatenate([np.arange(m), rng.integers(0, m, n)])[: max(n, m)]
    images, texts = unit(seed, len(owner), 3), unit(seed + 1, m, 3)
    if coarse:  # few directions: many ties
        images, texts = np.sign(images) / np.sqrt(3), np.sign(texts) / np.sqrt(3)
        images, texts = images.astype(np.float32), texts.astype(np.float32)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ranks, "_TEXTS_AT_ONCE", at_once)
        to_report, to_image = places(batched(images, step), texts, owner)
    expected = slow_places(images, texts[owner], [str(at) for at in owner])
    assert to_report.tolist() == expected[0]
    assert to_image[owner].tolist() == expected[1]


def test_an_encoder_that_says_the_same_of_everything_finds_nothing() -> None:
    same = np.repeat(unit(0, 1, 5), 20, axis=0)
    to_report, to_image = places(batched(same, 3), same[:10], np.arange(20) % 10)
    assert set(to_report.tolist()) == {10}
    assert set(to_image.tolist()) == {19}  # the report's other image does not count against it


# --------------------------------------------------------------------------- statistics


@settings(max_examples=20)
@given(seed=st.integers(0, 999), n=st.integers(2, 20), k=st.integers(1, 6))
def test_resamples_are_those_of_patients_drawn_one_by_one(seed: int, n: int, k: int) -> None:
    rng = np.random.default_rng(seed)
    patients = np.concatenate([[0, 1], rng.integers(0, 4, n)])
    patients = np.unique(patients, return_inverse=True)[1].astype(np.int64)
    found = rng.integers(1, 9, len(patients))
    draws = Draws(int(patients.max()) + 1, 40, seed)
    made = measures(found, patients, [k], draws, 0.9)
    units = np.arange(draws.n_units)
    drawn = [
        slow_resample(found.tolist(), patients.tolist(), np.repeat(units, column.astype(int)), k)  # type: ignore[arg-type]
        for _, counts in draws.counts(7)
        for column in counts.T
    ]
    expected = np.quantile(np.array(drawn), [0.05, 0.95], axis=0)
    whole = slow_resample(found.tolist(), patients.tolist(), units.tolist(), k)
    for name, value, (low, high) in zip(
        (f"recall@{k}", "median_rank"), whole, expected.T, strict=True
    ):
        assert made[name].estimate == pytest.approx(value)
        assert (made[name].low, made[name].high) == pytest.approx((low, high))


def test_one_patient_has_no_interval() -> None:
    made = measures(np.array([1, 3]), np.zeros(2, np.int64), [1], Draws(1, 10), 0.95)
    assert made["recall@1"].estimate == 0.5
    assert made["recall@1"].low is None
    assert made["recall@1"].reason == "no interval: all queries are of one patient"


@pytest.mark.parametrize(
    ("answers", "right", "k"), [(6, 1, 1), (6, 2, 3), (6, 2, 4), (6, 4, 3), (5, 1, 5), (5, 1, 7)]
)
def test_chance_is_the_share_of_orders_that_begin_with_a_right_answer(
    answers: int, right: int, k: int
) -> None:
    ways = list(combinations(range(answers), min(k, answers)))
    hits = sum(min(way) < right for way in ways)
    assert by_chance(answers, np.array([right]), k) == pytest.approx(hits / len(ways))


# --------------------------------------------------------------------------- on a collection


def test_reports_and_images_find_each_other_as_often_as_counted_by_hand(
    collection: Collection, pair: PairEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hilum.collection.vectors._SCAN_ROWS", 3)
    found = evaluate_retrieval(collection, "space", pair, k=(1, 2), bootstrap=50)
    kept = [row for row, said in enumerate(SAID) if said and said.strip()]
    same = ["normal", "edema", "normal", "normal", "", "effusion", "edema", "", "3", "4"]
    said = [same[row] for row in kept]
    firsts = {text: SAID[kept[said.index(text)]] for text in said}
    texts = pair.encode_texts([str(firsts[text]) for text in said], on_long="cut")
    to_report, to_image = slow_places(collection.vectors("space")[1][kept], texts, said)
    for direction, slow in ((found.image_to_report, to_report), (found.report_to_image, to_image)):
        assert direction.measures["recall@1"].estimate == np.mean(np.array(slow) == 1)
        assert direction.measures["recall@2"].estimate == np.mean(np.array(slow) <= 2)
        assert direction.measures["median_rank"].estimate == np.median(slow)
    assert (found.images, found.reports, found.patients) == (8, 5, 5)
    assert (found.without_report, found.cut, found.section) == (2, 0, "impression")
    assert found.image_to_report.chance == pytest.approx({"recall@1": 0.2, "recall@2": 0.4})
    shares = np.array([said.count(text) for text in said])
    assert found.report_to_image.chance["recall@1"] == pytest.approx(np.mean(shares / 8))


def test_an_encoder_that_knows_each_report_finds_it(
    made: Path, pair: PairEncoder, tmp_path: Path
) -> None:
    shutil.copytree(made, tmp_path / "c.lance")
    collection = open_collection(tmp_path / "c.lance")
    texts = pair.encode_texts(
        [" ".join((said or "").split()).removeprefix("1. ").strip(".").lower() for said in SAID]
    )
    info = EmbeddingInfo(8, pair.fingerprint, "perfect")
    perfect = collection.add_embedding("perfect", [(collection.ids(), texts)], info)
    found = evaluate_retrieval(perfect, "perfect", pair, bootstrap=20)
    assert found.report_to_image.measures["recall@1"].low == 1
    assert found.image_to_report.measures["median_rank"].high == 1


def test_a_long_report_is_cut_and_counted(made: Path, tmp_path: Path) -> None:
    """Of the five reports, two have 6 tokens with start and end, the others more."""
    shutil.copytree(made, tmp_path / "c.lance")
    collection = open_collection(tmp_path / "c.lance")
    for context, cut in ((5, 5), (6, 3), (12, 0)):
        pair = random_pair("test_resnet", context, size=32, dim=8, context=context,
                           text=TextSpec(16, 1, 2), engine=slow_processor())  # fmt: skip
        name, info = f"c{context}", EmbeddingInfo(8, pair.fingerprint, "short")
        collection = collection.add_embedding(name, [(collection.ids(), unit(0, 10, 8))], info)
        found = evaluate_retrieval(collection, name, pair, bootstrap=0)
        assert (found.cut, found.reports) == (cut, 5)
        assert found.report_to_image.measures["recall@1"].low is None


# --------------------------------------------------------------------------- bad inputs


def test_what_cannot_be_looked_for_is_refused(
    collection: Collection, pair: PairEncoder, tmp_path: Path
) -> None:
    def refused(error: type[Exception], match: str, embedding: str = "space", **said: Any) -> None:
        with pytest.raises(error, match=match):
            retrieve(collection, embedding, **{"text": "mass", "encoder": pair, **said})

    refused(UsageError, "k must be at least 1; got 0", k=0)
    refused(UsageError, "the text is empty", text=" \n")
    refused(UsageError, r"the prompt 'a a .* is longer than the 12 tokens", text="a " * 20)
    refused(UsageError, r"^the prompt '(lung ){10}lung \[\.\.\.\]' is longer .* \(999 wor",
            text="lung " * 999)  # fmt: skip
    refused(UsageError, "no image of the collection fulfils 'age > 900'", where="age > 900")
    refused(CollectionError, "there is no embedding 'clip'", "clip")
    refused(
        UsageError,
        r"'moco' was made by moco-small \(fingerprint bbbbbbbbbbbb\), not by this "
        r"encoder, test_resnet \([0-9a-f]{12}\): .* different spaces. Make one with: hilum",
        "moco",
    )
    image = random_encoder("test_resnet", size=32)
    refused(WeightsError, "reads images alone; sentences need a pair", encoder=image)


def test_what_cannot_be_measured_is_refused(collection: Collection, pair: PairEncoder) -> None:
    def refused(match: str, embedding: str = "space", **said: Any) -> None:
        with pytest.raises(UsageError, match=match):
            evaluate_retrieval(collection, embedding, pair, **said)

    refused("'conclusion' is not a section; choose from impression, findings", section="conclusion")
    refused(r"among the first 1 or more; got \(0,\)", k=(0,))
    refused("resamples are 0 or more and a level is between 0 and 1; got -1, 0.95", bootstrap=-1)
    refused("got 5, 1.5", bootstrap=5, level=1.5)
    refused("'moco' was made by moco-small", "moco")
    refused(r"the 2 images have 1 different reports between them \(section impression\), so there",
            where="image_id IN ('i0000', 'i0002')")  # fmt: skip
    with pytest.raises(CollectionError, match="there is no embedding 'clip'"):
        evaluate_retrieval(collection, "clip", pair)


# --------------------------------------------------------------------------- the command


def run(monkeypatch: pytest.MonkeyPatch, *words: str | Path) -> int:
    monkeypatch.setattr("sys.argv", ["hilum", "retrieve", *map(str, words)])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    code = stop.value.code
    return code if isinstance(code, int) else 0


@pytest.fixture
def base(made: Path, pair: PairEncoder, tmp_path: Path) -> list[str | Path]:
    save_encoder(pair, tmp_path / "e.safetensors")
    return [made, "--embedding", "space", "--encoder", tmp_path / "e.safetensors"]


def test_the_command_lists_and_shows_what_it_finds(
    base: list[str | Path],
    collection: Collection,
    pair: PairEncoder,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out, sheet = tmp_path / "c.csv", tmp_path / "s.png"
    words = ("--out", out, "--sheet", sheet, "--device", "cpu", "--json")
    assert not run(monkeypatch, *base, "--text", "large effusion", "-k", "3", "--where",
                   "visit = 0", *words)  # fmt: skip
    said = capsys.readouterr()
    cases = retrieve(collection, "space", text="large effusion", encoder=pair, k=3,
                     where="visit = 0")  # fmt: skip
    found = json.loads(said.out)
    assert [row["image_id"] for row in found["cases"]] == list(cases.ids)
    assert [row["rank"] for row in found["cases"]] == [1, 2, 3]
    assert found["sheets"] == [str(sheet)]
    assert said.err == f"{sheet}\n"
    assert out.read_text().splitlines()[0] == "rank,image_id,score"
    assert out.read_text().splitlines()[1].split(",")[1] == cases.ids[0]
    with Image.open(sheet) as page:
        assert page.size == (3 * 200 + 8, 192 + 64)  # two lines above each
    assert not run(monkeypatch, *base, "--text", "large effusion", "-k", "2")
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ["1", "2"]


def test_the_command_measures_both_directions(
    base: list[str | Path],
    collection: Collection,
    pair: PairEncoder,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert not run(monkeypatch, *base, "--evaluate", "reports", "--section", "findings",
                   "--bootstrap", "20", "--seed", "3", "--level", "0.9",
                   "--where", "visit = 0", "--json")  # fmt: skip
    found = json.loads(capsys.readouterr().out)
    assert found["section"] == "findings"
    assert found["report_to_image"]["measures"].keys() == {
        "recall@1", "recall@5", "recall@10", "median_rank",
    }  # fmt: skip
    assert (found["images"], found["resamples"], found["level"]) == (5, 20, 0.9)
    assert not run(monkeypatch, *base, "--evaluate", "reports", "--bootstrap", "20",
                   "--where", "")  # fmt: skip
    text = capsys.readouterr().out
    assert max(len(line) for line in text.splitlines()) <= 80
    assert "8 images of 5 patients, 5 different reports (impression)" in text
    assert "95% intervals from 20 resamples of patients" in text
    estimate = evaluate_retrieval(collection, "space", pair, bootstrap=0).report_to_image.measures
    assert math.isclose(float(text.splitlines()[1].split()[1]), estimate["recall@1"].estimate or 0)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "give a sentence with --text, an image with --image, or --evaluate; one"),
        (["--text", "mass", "--evaluate", "reports"], "give a sentence with --text, an image"),
        (["--evaluate", "reports", "--sheet", "s.png"], "--sheet: of no effect with --evaluate r"),
        (["--evaluate", "reports", "-k", "3", "--index", "ann", "--same-patient", "--findings",
          "?"],
         "-k, --same-patient, --index, --findings: of no effect with --evaluate reports"),
        (["--evaluate", "findings", "--section", "findings"], "--section: of no effect with --ev"),
        (["--image", "i0001", "--findings", "Gout", "--queries", "none", "--bootstrap", "-5"],
         "--findings, --queries, --bootstrap: of no effect with --image"),
        (["--text", "mass", "--same-patient"], "--same-patient: of no effect with --text"),
    ],
)  # fmt: skip
def test_the_command_does_one_of_two_things(
    base: list[str | Path],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    message: str,
) -> None:
    assert run(monkeypatch, *base, *words) == 2
    assert message in capsys.readouterr().err
