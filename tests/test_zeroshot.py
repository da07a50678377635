"""Zero-shot detection: CheXzero's numbers, nothing encoded twice, nothing out of date."""

import shutil
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from hilum.collection import Collection, EmbeddingInfo, open_collection
from hilum.collection.store import writer
from hilum.encoders import PairEncoder, TextSpec, random_encoder, random_pair, save_encoder
from hilum.errors import CollectionError, TableError, UsageError, WeightsError
from hilum.evaluate import auroc, choose_thresholds, fit_calibration
from hilum.evaluate.thresholds import Thresholds
from hilum.ingest import ingest
from hilum.prompts import PromptPair, pair_scores, prompt_pairs, prompt_vectors
from hilum.tables import Table, write_table
from hilum.zeroshot import detect, zeroshot
from reference_training import slow_processor
from reference_zeroshot import chexzero_classes, chexzero_scores
from small_source import small_source

FINDINGS = ("Edema", "Pleural Effusion", "No Finding")
Floats = NDArray[np.float64]


def pair_of(seed: int = 0, **changes: Any) -> PairEncoder:
    options: dict[str, Any] = {"size": 32, "dim": 8, "context": 16, "text": TextSpec(16, 1, 2)}
    return random_pair("test_resnet", seed, engine=slow_processor(), **{**options, **changes})


@pytest.fixture(scope="module")
def pair() -> PairEncoder:
    return pair_of()


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a collection of 20 training, 20 validation and 8 test images."""
    folder = tmp_path_factory.mktemp("hospital")
    source = small_source(folder / "small", 48).root
    ingest(source, folder / "c.lance", layout="folder", size=32, workers=1,
           fractions=(0.4, 0.3, 0.3), seed=1)  # fmt: skip
    return folder / "c.lance"


@pytest.fixture
def collection(made: Path, tmp_path: Path) -> Collection:
    shutil.copytree(made, tmp_path / "c.lance")
    return open_collection(tmp_path / "c.lance")


Counts = Counter[str]


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> Counts:
    """Count the images and texts that pass through towers."""
    from hilum.encoders.small_pair import SmallPair

    counts: Counts = Counter()

    def counting(name: str, what: str) -> None:
        plain = getattr(SmallPair, name)

        def counted(self: SmallPair, rows: torch.Tensor) -> torch.Tensor:
            counts[what] += len(rows)
            out: torch.Tensor = plain(self, rows)
            return out

        monkeypatch.setattr(SmallPair, name, counted)

    counting("image_features", "images")
    counting("text_features", "texts")
    return counts


def plant(
    collection: Collection, pair: PairEncoder, column: Callable[[Collection], Floats],
    prompt: PromptPair, name: str = "planted",
) -> Collection:  # fmt: skip
    """Give images vectors of this pair that agree with a prompt as far as `column` says."""
    present, absent = prompt_vectors([prompt], pair.encode_texts)[0]
    noise = np.random.default_rng(0).normal(size=(len(collection), pair.spec.dim))
    vectors = 0.3 * noise + column(collection)[:, None] * (present - absent)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    info = EmbeddingInfo(pair.spec.dim, pair.fingerprint, "planted")
    return collection.add_embedding(
        name, [(collection.ids(), vectors.astype(np.float32))], info
    )  # fmt: skip


def edema(collection: Collection) -> Floats:
    """Return 3 for images with edema, -3 for those without, 0 where it is not known."""
    labels = collection.labels(policy="ignore").column("Edema")
    return 3 * np.nan_to_num(2 * labels - 1)


def split_of(collection: Collection) -> list[str]:
    return list(collection.table(["split"])["split"])


# --------------------------------------------------------------------------- CheXzero's numbers


def test_chexzero_mode_gives_the_originals_numbers(
    collection: Collection, pair: PairEncoder
) -> None:
    names = ["Edema", "Effusion", "No Finding", "scoliosis"]
    scores = zeroshot(collection, pair, names, mode="chexzero")
    assert scores.findings == ("Edema", "Pleural Effusion", "No Finding", "scoliosis")
    assert scores.ids == collection.ids()
    expected = chexzero_scores(pair, collection.pixels(), names)
    np.testing.assert_allclose(scores.values, expected, atol=2e-6)


def test_an_ensemble_is_the_mean_of_its_members_probabilities(
    collection: Collection, pair: PairEncoder, tmp_path: Path
) -> None:
    other = pair_of(1)
    save_encoder(other, tmp_path / "other.safetensors")
    films = collection.pixels()
    both = detect(collection, [pair, tmp_path / "other.safetensors"], FINDINGS, mode="chexzero",
                  device="cpu")  # fmt: skip
    expected = (
        chexzero_scores(pair, films, FINDINGS) + chexzero_scores(other, films, FINDINGS)
    ) / 2
    np.testing.assert_allclose(both.scores.values, expected, atol=2e-3)  # the file's runs in bf16
    assert [one.fingerprint for one in both.encoders] == [pair.fingerprint, other.fingerprint]
    assert [one.scale for one in both.encoders] == [1, 1]


def test_a_pattern_stands_for_all_weights_of_such_names(
    collection: Collection, pair: PairEncoder, tmp_path: Path
) -> None:
    for name, one in (("best-20", pair), ("best-10", pair_of(1)), ("last", pair_of(2))):
        save_encoder(one, tmp_path / f"{name}.safetensors")
    found = detect(collection, tmp_path / "best-*", ["Edema"])
    assert [one.fingerprint for one in found.encoders] == [pair_of(1).fingerprint, pair.fingerprint]
    with pytest.raises(UsageError, match=r"no file is named '.*first-\*'"):
        detect(collection, str(tmp_path / "first-*"), ["Edema"])


def test_classes_are_scored_as_chexzero_scores_them_without_its_softmax(
    collection: Collection, pair: PairEncoder
) -> None:
    template = "the patient's view is {}"
    scores = zeroshot(
        collection, pair, ["frontal", "lateral", "oblique"], mode="classes", templates=[template],
        prompts={"oblique": "skew"},
    )  # fmt: skip
    expected = chexzero_classes(pair, collection.pixels(), ["frontal", "lateral", "skew"], template)
    np.testing.assert_allclose(scores.values, expected, atol=1e-4)
    assert scores.findings == ("frontal", "lateral", "oblique")


# --------------------------------------------------------------------------- hilum's mode


def test_the_learnt_scale_spreads_scores_out_unless_another_is_given(
    collection: Collection, pair: PairEncoder
) -> None:
    vectors = pair.encode_images(collection.pixels())
    prompts = prompt_vectors(prompt_pairs(FINDINGS), pair.encode_texts)
    learnt = detect(collection, pair)
    np.testing.assert_allclose(
        learnt.scores.values, pair_scores(vectors, prompts, scale=pair.scale), atol=1e-5
    )
    assert learnt.encoders[0].scale == pytest.approx(1 / 0.07)
    given = zeroshot(collection, pair, scale=2.5)
    np.testing.assert_allclose(given.values, pair_scores(vectors, prompts, scale=2.5), atol=1e-6)


def test_images_are_encoded_once_for_all_prompts_and_each_sentence_once(
    collection: Collection, pair: PairEncoder, seen: Counts
) -> None:
    zeroshot(collection, pair)
    assert seen == {"images": 48, "texts": 2 * 3 + 2 * 3 + 2}
    seen.clear()
    several = {"Edema": ["edema", "wet lungs"], "Mass": "mass"}
    again = open_collection(collection.uri)
    zeroshot(again, pair, prompts=several, choose_on="val")
    assert seen == {"texts": 3 * 2 * 3}  # the vectors were kept


def test_vectors_are_kept_as_an_embedding_of_this_encoder(
    collection: Collection, pair: PairEncoder, seen: Counts
) -> None:
    part = detect(collection, pair, where="split = 'test'")
    name = f"zeroshot-{pair.fingerprint[:12]}"
    assert part.encoders[0].embedding == name
    assert seen["images"] == len(part.scores) == 8
    after = open_collection(collection.uri)
    assert after.embeddings[name].fingerprint == pair.fingerprint
    whole = detect(after, pair)  # the others are filled in
    assert seen["images"] == 48
    rows = [at for at, split in enumerate(split_of(collection)) if split == "test"]
    np.testing.assert_allclose(whole.scores.values[rows], part.scores.values, atol=1e-6)


def test_an_embedding_of_the_same_encoder_is_used_whatever_it_is_called(
    collection: Collection, pair: PairEncoder, seen: Counts
) -> None:
    (prompt,) = prompt_pairs(["Edema"])
    planted = plant(collection, pair, edema, prompt, "reports")
    found = detect(planted, pair, ["Edema"])
    assert found.encoders[0].embedding == "reports"
    assert not seen["images"]
    labels = collection.labels(policy="ignore").column("Edema")
    assert auroc(found.scores.values[:, 0], labels) == 1


def test_nothing_is_kept_if_that_is_not_wanted(
    collection: Collection, pair: PairEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[int] = []
    plain = Collection.pixels

    def pixels(self: Collection, rows: Any = None) -> Any:
        read.append(len(rows))
        return plain(self, rows)

    monkeypatch.setattr(Collection, "pixels", pixels)
    done: list[int] = []
    passing = detect(
        collection, pair, keep=False, batch_size=7, progress=lambda n, *_: done.append(n)
    )
    assert max(read) == 7
    assert sum(read) == done[-1] == 48
    assert passing.encoders[0].embedding is None
    assert open_collection(collection.uri).embeddings == {}
    kept = detect(collection, pair)
    np.testing.assert_allclose(passing.scores.values, kept.scores.values, atol=1e-5)


@pytest.mark.parametrize(
    "change",
    [
        {"prompts": {"Edema": "wet lungs"}},
        {"templates": [("{} is seen", "{} is not seen")]},
        {"mode": "chexzero"},
        {"scale": 3.0},
        {"encoder": pair_of(1)},
        {"films": 1},
    ],
    ids=lambda change: next(iter(change)),
)
def test_no_change_gives_scores_that_are_out_of_date(
    made: Path, collection: Collection, pair: PairEncoder, change: dict[str, Any], tmp_path: Path
) -> None:
    """Whatever the scores depend on is changed after a first run; the second equals a fresh one."""
    before = zeroshot(collection, pair, ["Edema"])
    untouched = open_collection(made)
    if "films" in change:  # other films under the same ids, in the same place
        source = small_source(tmp_path / "other", 48, seed=5).root
        shutil.rmtree(collection.uri)
        for uri in (collection.uri, tmp_path / "d.lance"):
            untouched = ingest(source, uri, layout="folder", size=32, workers=1).collection
    encoder = change.get("encoder", pair)
    changes = {key: value for key, value in change.items() if key not in ("encoder", "films")}
    after = zeroshot(open_collection(collection.uri), encoder, ["Edema"], **changes)
    fresh = zeroshot(untouched, encoder, ["Edema"], keep=False, **changes)
    assert not untouched.embeddings
    np.testing.assert_allclose(after.values, fresh.values, atol=1e-5)
    assert not np.allclose(after.values, before.values, atol=1e-4)


def test_kept_vectors_are_read_while_somebody_writes(
    collection: Collection, pair: PairEncoder
) -> None:
    zeroshot(collection, pair)
    after = open_collection(collection.uri)
    with writer(collection.uri):
        assert len(zeroshot(after, pair)) == 48
        with pytest.raises(CollectionError, match="another process is writing"):
            zeroshot(after, pair_of(1))


# --------------------------------------------------------------------------- validation labels


CANDIDATES = {"Edema": ["edema", "wet lungs", "fluid overload"]}


def test_the_wording_with_the_best_validation_auroc_is_used_and_test_is_never_read(
    collection: Collection, pair: PairEncoder
) -> None:
    """On validation images the second wording is right, on test images the first."""
    wet, dry = "wet lungs", "no wet lungs"
    second = PromptPair("Edema", (wet,), (dry,))
    wordings: dict[str, Any] = {
        "swapped": {"name": "swapped", "present": dry, "absent": wet},
        wet: second,
        "third": {"name": "third", "present": ["fluid", "overload"], "absent": "the heart"},
    }
    test = np.array(split_of(collection)) == "test"
    planted = plant(collection, pair, lambda all_: edema(all_) * np.where(test, -1, 1), second)
    prompts = {"oedema": list(wordings.values())}
    found = detect(planted, pair, choose_on="val", prompts=prompts, scale=1)
    (choice,) = found.choices
    assert choice.name == wet
    assert (choice.n, choice.positives) == (12, 6)
    assert choice.auroc == choice.aurocs[wet] == 1
    assert choice.aurocs["swapped"] == 0
    labels = collection.labels("val", ["Edema"], "ignore")
    for name, wording in wordings.items():
        one = zeroshot(planted, pair, prompts={"Edema": wording}, scale=1)
        rows = [one.ids.index(image) for image in labels.ids]
        assert choice.aurocs[name] == auroc(one.values[rows, 0], labels.values[:, 0])
        if name == wet:
            np.testing.assert_allclose(found.scores.values, one.values)
    on_test = collection.labels("test", ["Edema"], "ignore")
    rows = [found.scores.ids.index(image) for image in on_test.ids]
    assert auroc(found.scores.values[rows, 0], on_test.values[:, 0]) == 0  # and nobody looked


def test_of_equally_good_wordings_the_first_is_used(
    collection: Collection, pair: PairEncoder
) -> None:
    same = {"present": "wet lungs", "absent": "dry lungs"}
    prompts = {"Edema": [{"name": "b", **same}, {"name": "a", **same}]}
    (choice,) = detect(collection, pair, prompts=prompts, choose_on="train").choices
    assert choice.name == "b"
    assert choice.aurocs["a"] == choice.aurocs["b"]


def test_a_table_of_labels_serves_as_well_as_a_split(
    collection: Collection, pair: PairEncoder, tmp_path: Path
) -> None:
    labels = collection.labels("val", ["Edema"])
    write_table(labels, tmp_path / "val.csv")
    chosen = [
        detect(collection, pair, prompts=CANDIDATES, choose_on=on, where="split = 'test'")
        for on in ("val", labels, tmp_path / "val.csv", str(tmp_path / "val.csv"))
    ]
    assert all(one.choices == chosen[0].choices for one in chosen)
    assert all(one.scores.ids == chosen[0].scores.ids for one in chosen)
    assert set(chosen[0].scores.ids) == set(collection.labels("test").ids)


def test_a_prompt_the_wrong_way_round_is_noticed_on_validation_images(
    collection: Collection, pair: PairEncoder
) -> None:
    (prompt,) = prompt_pairs(["Edema"])
    planted = plant(collection, pair, lambda all_: -edema(all_), prompt)
    found = detect(planted, pair, ["Edema", "Pleural Effusion"], choose_on="val")
    assert found.scores.notes["Edema"] == (
        "validation AUROC 0.000 is below 0.5 (6 of 12 positive): the prompt 'edema' seems to be "
        "the wrong way round"
    )
    assert f"Edema: {found.scores.notes['Edema']}" in found.remarks()
    assert not detect(planted, pair, ["Edema"]).scores.notes  # without labels nobody knows


def test_scores_that_are_1_to_the_last_digit_are_noticed(
    collection: Collection, pair: PairEncoder
) -> None:
    (prompt,) = prompt_pairs(["Edema"])
    planted = plant(collection, pair, edema, prompt)
    assert not zeroshot(planted, pair, ["Edema"], scale=1).notes
    notes = zeroshot(planted, pair, ["Edema"], scale=1e6).notes
    assert "images score 1 to the last digit and have no order among them" in notes["Edema"]


def test_calibration_and_thresholds_are_fitted_to_validation_labels(
    collection: Collection, pair: PairEncoder
) -> None:
    plain = zeroshot(collection, pair)
    labels = collection.labels("val")
    found = detect(
        collection, pair, choose_on="val", calibrate="platt", threshold="mcc", where="visit = 0"
    )
    rows = [plain.ids.index(image) for image in labels.ids]
    calibration = fit_calibration(plain.take(rows), labels, "platt", source="the split val")
    assert found.calibration == calibration
    kept = plain.take([plain.ids.index(image) for image in found.scores.ids])
    np.testing.assert_allclose(found.scores.values, calibration.apply(kept).values)
    validation = calibration.apply(plain.take(rows))
    expected = choose_thresholds(validation, labels, "mcc", source="the split val")
    assert isinstance(found.thresholds, Thresholds)
    assert found.thresholds == expected
    assert set(found.scores.ids) == set(collection.where("visit = 0").ids())


# --------------------------------------------------------------------------- bad inputs


def refused(
    error: type[Exception], match: str, collection: Collection, encoder: Any,
    findings: Sequence[str] | None = None, **settings: Any,
) -> None:  # fmt: skip
    with pytest.raises(error, match=match):
        detect(collection, encoder, findings, **settings)


@pytest.mark.parametrize(
    ("settings", "match"),
    [
        ({"findings": ["Scoliosis"]}, r"no sentences for 'Scoliosis'"),
        ({"findings": []}, r"no finding was named"),
        ({"findings": "Edema"}, r"expected a sequence of findings, got one text"),
        ({"findings": ["Edema", "oedema"]}, r"'Edema' is asked for more than once"),
        ({"findings": ["Effusion", "Pleural Effusion"], "mode": "chexzero"},
         r"'Pleural Effusion' is asked for more than once"),
        ({"mode": "clip"}, r"'clip' is not a mode; choose from hilum, chexzero, classes"),
        ({"findings": ["male"], "mode": "classes"}, r"name two or more"),
        ({"findings": ["a", "a"], "mode": "classes"}, r"'a' is asked for more than once"),
        ({"findings": ["a", "b"], "mode": "classes", "templates": [("{}", "no {}")]},
         r"not a template for classes: it is one sentence with \{\} once"),
        ({"templates": ["{}"]}, r"'\{\}' is one sentence; a template for findings has two"),
        ({"scale": 0.0}, r"a scale is above 0 and finite; got 0"),
        ({"findings": ["a", "b"], "mode": "classes", "scale": 2.0}, r"there is no scale"),
        ({"prompts": CANDIDATES}, r"'Edema' has 3 candidates; say what they are chosen on"),
        ({"prompts": {"Edema": " ".join(["lung"] * 40)}},
         r"the prompt 'lung lung .* is longer than the 16 tokens that the encoder .* shorten it"),
        ({"calibrate": "platt"}, r"calibrate needs validation labels; say which"),
        ({"threshold": "mcc"}, r"threshold needs validation labels; say which"),
        ({"calibrate": "magic", "choose_on": "val"}, r"'magic' is not a calibration; choose from"),
        ({"threshold": "best", "choose_on": "val"}, r"'best' is not a rule for thresholds"),
        ({"choose_on": "test"}, r"the split test is for reporting; choose on val or train"),
        ({"choose_on": "valid"}, r"'valid' is neither a split \(val, train\) nor a file"),
        ({"choose_on": "val", "findings": ["Mass"]}, r"split 'val' has no known label for Mass"),
        ({"policy": "keep"}, r"choose what an uncertain label counts as"),
        ({"batch_size": 0}, r"the batch size must be at least 1"),
        ({"where": "age > 900"}, r"no image of the collection fulfils 'age > 900'"),
    ],
)  # fmt: skip
def test_what_cannot_be_asked_is_refused_before_an_image_is_read(
    collection: Collection, pair: PairEncoder, settings: dict[str, Any], match: str, seen: Counts
) -> None:
    refused(UsageError, match, collection, pair, **settings)
    assert not seen["images"]


def test_an_encoder_that_cannot_read_is_refused(
    collection: Collection, pair: PairEncoder, tmp_path: Path
) -> None:
    image = random_encoder("test_resnet", size=32)
    refused(WeightsError, r"reads images alone; sentences need a pair", collection, image)
    save_encoder(image, tmp_path / "i.safetensors")
    refused(WeightsError, r"encodes images alone; texts need a pair", collection,
            tmp_path / "i.safetensors")  # fmt: skip
    refused(UsageError, r"no encoder was given", collection, [])
    refused(UsageError, r"encoder [0-9a-f]{12} was given twice", collection, [pair, pair])


def test_labels_of_other_images_or_of_test_are_refused(
    collection: Collection, pair: PairEncoder
) -> None:
    strangers = Table(("x1", collection.ids()[0]), ("Edema",), np.array([[1.0], [0.0]]))
    refused(TableError, r"1 of 2 validation ids are not in the collection, the first is 'x1'",
            collection, pair, ["Edema"], choose_on=strangers)  # fmt: skip
    reported = collection.labels("test", ["Edema"])
    refused(UsageError, r"8 of 8 validation images are in the split test, which is for reporting",
            collection, pair, ["Edema"], choose_on=reported)  # fmt: skip


def test_candidates_need_both_classes_to_be_chosen_by(
    collection: Collection, pair: PairEncoder
) -> None:
    labels = Table(collection.labels("val").ids[:2], ("Edema",), np.array([[0.0], [0.0]]))
    refused(UsageError, r"3 candidates and no AUROC .*: 0 of its 2 known validation labels are",
            collection, pair, prompts=CANDIDATES, choose_on=labels)  # fmt: skip
    (choice,) = detect(collection, pair, ["Edema"], choose_on=labels).choices
    assert choice.auroc is None


def test_a_label_table_without_the_findings_is_refused(
    collection: Collection, pair: PairEncoder, tmp_path: Path
) -> None:
    write_table(collection.labels("val", ["Edema"]), tmp_path / "val.csv")
    refused(TableError, r"val\.csv: has no column for Mass", collection, pair, ["Mass"],
            choose_on=tmp_path / "val.csv")  # fmt: skip


def test_images_that_come_in_meanwhile_are_not_mixed_up(
    collection: Collection, pair: PairEncoder, tmp_path: Path
) -> None:
    more = small_source(tmp_path / "more", 2, prefix="j", patient="q").root

    def grow(done: int, total: int, note: str = "") -> None:
        if done == 0:
            ingest(more, collection.uri, layout="folder", workers=1)

    refused(CollectionError, r"images came in while it was scored; run it again",
            collection, pair, progress=grow)  # fmt: skip


def test_vectors_of_other_images_are_not_taken_for_these(
    collection: Collection, pair: PairEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As many vectors as images, but not of the same ones: nothing goes by position."""
    zeroshot(collection, pair)
    plain = Collection.vector_batches

    def swapped(self: Collection, name: str) -> Any:
        for ids, vectors in plain(self, name):
            yield ids[::-1], vectors

    monkeypatch.setattr(Collection, "vector_batches", swapped)
    refused(CollectionError, r"images came in while it was scored; run it again",
            open_collection(collection.uri), pair)  # fmt: skip


def test_a_collection_without_pixels_or_vectors_is_refused(
    tmp_path: Path, pair: PairEncoder
) -> None:
    source = small_source(tmp_path / "small", 4).root
    bare = ingest(source, tmp_path / "c.lance", layout="folder", pixels=False).collection
    refused(CollectionError, r"was made with --no-pixels and has no images", bare, pair)
    refused(UsageError, r"the collection has no images", bare.where("age > 900"), pair)
