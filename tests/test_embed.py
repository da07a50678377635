import json
import os
import signal
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from hilum.cli import app
from hilum.collection import Collection, open_collection
from hilum.collection import vectors as store
from hilum.embed import embed
from hilum.encoders import Encoder, random_encoder, save_encoder
from hilum.errors import CollectionError, LeakError, UsageError, WeightsError
from hilum.ingest import ingest
from hilum.training import feed, pretrain
from reference_training import in_processes, slow_processor
from small_source import small_source

IMAGES = 24


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("source")
    return small_source(root / "hospital", IMAGES).root


@pytest.fixture
def collection(source: Path, tmp_path: Path) -> Collection:
    ingest(source, str(tmp_path / "c.lance"), layout="folder", size=32, workers=1)
    return open_collection(tmp_path / "c.lance")


def encoder(seed: int = 0) -> Encoder:
    return random_encoder("test_resnet", seed, size=32, engine=slow_processor())


def test_every_image_gets_its_own_vector_under_its_id(collection: Collection) -> None:
    after = embed(collection, encoder(), "moco", batch_size=5)
    ids, vectors = after.vectors("moco")
    assert ids == collection.ids()
    expected = encoder().encode_images(collection.pixels())
    np.testing.assert_allclose(vectors, expected, atol=1e-5)
    info = after.embeddings["moco"]
    assert (info.dim, info.fingerprint) == (encoder().spec.dim, encoder().fingerprint)
    assert info.encoder == "test_resnet (random weights, seed 0)"
    assert "moco" not in collection.embeddings  # a view does not change


def test_a_view_is_embedded_alone_and_the_rest_is_filled_in_later(collection: Collection) -> None:
    part = collection.where("view = 'PA'")
    done: list[int] = []
    after = embed(part, encoder(), "moco", progress=lambda n, *_: done.append(n))
    assert len(after.vectors("moco")[0]) == done[-1] == IMAGES // 3
    with pytest.raises(CollectionError, match="16 of 24 images have no vector"):
        open_collection(collection.uri).vectors("moco")
    done.clear()
    whole = embed(open_collection(collection.uri), encoder(), "moco",
                  progress=lambda n, *_: done.append(n))  # fmt: skip
    assert done[-1] == IMAGES - IMAGES // 3
    np.testing.assert_allclose(
        whole.vectors("moco")[1], encoder().encode_images(collection.pixels()), atol=1e-5
    )


def test_another_encoder_may_not_take_the_name(collection: Collection) -> None:
    after = embed(collection, encoder(0), "moco")
    with pytest.raises(CollectionError, match=r"embedding 'moco' was made by test_resnet \(random"):
        embed(after, encoder(1), "moco")
    other = embed(after, encoder(1), "moco", overwrite=True)
    np.testing.assert_allclose(
        other.vectors("moco")[1], encoder(1).encode_images(collection.pixels()), atol=1e-5
    )


def test_embedding_twice_does_nothing_the_second_time(collection: Collection) -> None:
    after = embed(collection, encoder(), "moco")
    done: list[tuple[int, int]] = []
    embed(after, encoder(), "moco", progress=lambda n, total, *_: done.append((n, total)))
    assert done == [(0, 0)]


def embed_and_die(uri: str, after: int) -> None:
    """Embed in batches of four, and be killed by SIGKILL after some images."""
    torch.set_num_threads(1)
    store.FLUSH_SECONDS = 0.0  # type: ignore[misc]  # keep every batch at once

    def progress(done: int, total: int, note: str = "") -> None:
        if done >= after:
            os.kill(os.getpid(), signal.SIGKILL)

    embed(open_collection(uri), encoder(), "moco", batch_size=4, progress=progress)


def test_a_job_killed_by_sigkill_goes_on_where_it_was(collection: Collection) -> None:
    assert in_processes(embed_and_die, [(collection.uri, 12)]) == [-9]
    again = open_collection(collection.uri)
    assert "moco" not in again.embeddings
    done: list[tuple[int, int]] = []
    after = embed(again, encoder(), "moco", progress=lambda n, total, *_: done.append((n, total)))
    assert 0 < done[0][1] < IMAGES
    np.testing.assert_allclose(
        after.vectors("moco")[1], encoder().encode_images(collection.pixels()), atol=1e-5
    )


def test_encoders_are_taken_by_reference_too(collection: Collection, tmp_path: Path) -> None:
    path = save_encoder(encoder(), tmp_path / "e.safetensors")
    after = embed(collection, path, "moco")
    assert after.embeddings["moco"].fingerprint == encoder().fingerprint
    with pytest.raises(WeightsError, match=r"absent\.safetensors: there is no such file"):
        embed(collection, tmp_path / "absent.safetensors", "other")
    with pytest.raises(UsageError, match="the batch size must be at least 1; got 0"):
        embed(collection, path, "other", batch_size=0)


SMALL: dict[str, Any] = {
    "architecture": "test_resnet",
    "size": 24,
    "batch": 8,
    "queue": 16,
    "precision": "fp32",
    "steps": 3,
}


def test_a_collection_pretrains_an_encoder(
    collection: Collection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same from memory as from disk, where the collection would not fit."""
    taught = collection.where("split <> 'test'")
    held = pretrain(taught, tmp_path / "held", device="cpu", **SMALL)
    monkeypatch.setattr(feed, "fits", lambda *_: False)
    read = pretrain(taught, tmp_path / "read", device="cpu", **SMALL)
    assert held.fingerprint == read.fingerprint
    assert held.spec.source == f"MoCo v2 on {len(taught)} images, from random weights"
    after = embed(collection, tmp_path / "held", "moco")
    assert after.embeddings["moco"].fingerprint == held.fingerprint


def test_patients_of_the_collection_own_their_images(
    collection: Collection, tmp_path: Path
) -> None:
    taught = collection.where("split <> 'test'")
    alone = pretrain(taught, tmp_path / "alone", device="cpu", **SMALL)
    paired = pretrain(taught, tmp_path / "paired", device="cpu", same_patient=1.0, **SMALL)
    assert alone.fingerprint != paired.fingerprint


def test_images_that_are_for_the_end_teach_no_encoder(
    collection: Collection, tmp_path: Path
) -> None:
    count = len(collection.where("split = 'test'"))
    with pytest.raises(LeakError, match=rf"{count} of the images to learn from or to choose by"):
        pretrain(collection, tmp_path / "run", device="cpu", **SMALL)
    assert not (tmp_path / "run").exists()


# ------------------------------------------------------------------ the command line


def run(*arguments: str | Path) -> Any:
    result = CliRunner().invoke(app, [str(a) for a in arguments])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


TINY = ["--arch", "test_resnet", "--size", "24", "--batch", "8", "--queue", "16", "--steps", "2",
        "--precision", "fp32", "--device", "cpu", "--set", "crop=[0.5, 1.0]"]  # fmt: skip


def test_the_commands_pretrain_and_embed(collection: Collection, tmp_path: Path) -> None:
    where = ["--where", "view <> 'AP' AND split <> 'test'"]
    taught = collection.where(where[1])
    result = run("pretrain", "moco", collection.uri, tmp_path / "run", *where, *TINY, "--json")
    said = json.loads(result.stdout)
    assert (said["images"], said["metrics"]["steps"]) == (len(taught), 2)
    settings = json.loads((tmp_path / "run" / "settings.json").read_text())
    assert settings["view"]["crop"] == [0.5, 1.0]
    result = run("embed", collection.uri, "--encoder", tmp_path / "run", "--name", "moco")
    assert result.stdout == f"{collection.uri}: moco, 24 vectors of 96 numbers\n"
    found = open_collection(collection.uri).embeddings["moco"].fingerprint
    assert found == said["fingerprint"]


def test_the_device_that_is_asked_for_is_that_of_a_clusters_workers(
    collection: Collection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clusters: list[dict[str, Any]] = []

    def in_this_process(make: Any, items: list[Any], **how: Any) -> Any:
        clusters.append(how)
        return map(make(), items)

    monkeypatch.setattr(import_module("hilum.embed"), "map_in_order", in_this_process)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)  # and it cannot be used
    save_encoder(encoder(), tmp_path / "e.safetensors")
    start = ("embed", collection.uri, "--encoder", tmp_path / "e.safetensors", "--engine", "ray")
    said = json.loads(run(*start, "--name", "own", "--device", "cpu", "--workers", "2",
                          "--json").stdout)  # fmt: skip
    assert said["engine"] == "ray, cpu on each worker"
    assert clusters == [{"workers": 2, "gpu": False}]
    with pytest.raises(UsageError, match="device 'meta:x' cannot be used here"):
        run(*start, "--name", "other", "--device", "meta:x")
    assert clusters[1] == {"workers": None, "gpu": True}


def test_workers_are_for_a_cluster_alone(collection: Collection, tmp_path: Path) -> None:
    save_encoder(encoder(), tmp_path / "e.safetensors")
    with pytest.raises(UsageError, match="--workers: only with --engine ray"):
        run("embed", collection.uri, "--encoder", tmp_path / "e.safetensors", "--name", "v",
            "--workers", "2")  # fmt: skip
    with pytest.raises(UsageError, match="workers are those of a Ray cluster"):
        embed(collection, tmp_path / "e.safetensors", "v", workers=2)
    found = run("embed", collection.uri, "--encoder", tmp_path / "e.safetensors", "--name", "v",
                "--device", "cpu", "--json")  # fmt: skip
    assert json.loads(found.stdout)["engine"].startswith("cpu ")


def test_the_commands_refuse_what_cannot_be(collection: Collection, tmp_path: Path) -> None:
    start = ("pretrain", "moco", collection.uri, tmp_path / "run")
    with pytest.raises(UsageError, match="'moco-big' is not a recipe"):
        run(*start, "--recipe", "moco-big", "--where", "")
    with pytest.raises(UsageError, match="there are no images to learn from; check the cond"):
        run(*start, *TINY, "--where", "age > 200")
    assert run(*start, "--set", "rotate").exit_code == 2


def test_the_command_converts_and_accounts(tmp_path: Path) -> None:
    torch.save({"encoder_q.conv1.weight": torch.ones(1)}, tmp_path / "c.pt")
    with pytest.raises(WeightsError, match="not a backbone that is known here"):
        run("convert", tmp_path / "c.pt", tmp_path / "e.safetensors", "--from", "moco-cxr")
