"""Two workers of a Ray cluster do what one process does: the same rows, the same vectors."""

import os
import warnings
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import hilum
from hilum.cluster import check_engine, map_in_order
from hilum.collection import Collection
from hilum.encoders import random_encoder, save_encoder
from hilum.errors import UsageError
from hilum.ingest import ingest
from hilum.progress import Progress
from reference_training import slow_processor
from small_source import SmallSource, small_source
from worker_tasks import doubling, refusing

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("default"),  # Ray 2.60 warns of its own names
]


@pytest.fixture(scope="module")
def cluster() -> Iterator[None]:
    """Start a cluster of two processors on this machine, and stop it."""
    ray: Any = pytest.importorskip("ray")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        paths = os.pathsep.join([str(Path(__file__).parent)])
        ray.init(
            address="local", num_cpus=2, include_dashboard=False, log_to_driver=False,
            runtime_env={"env_vars": {"PYTHONPATH": paths, "OMP_NUM_THREADS": "1"}},
        )  # fmt: skip
        yield
        ray.shutdown()


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> SmallSource:
    made = small_source(tmp_path_factory.mktemp("cluster") / "s", 150)
    (made.root / "films" / "i0070.png").write_bytes(b"no film")
    return made


def test_results_come_in_order_though_a_worker_dies_and_errors_are_raised(
    cluster: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flag = tmp_path / "died"
    monkeypatch.setattr("hilum.cluster.WINDOW", 5)
    found = list(map_in_order(partial(doubling, flag), iter(range(9)), workers=2))
    assert found == [2 * x for x in range(9)]
    assert flag.exists()
    got: list[int] = []
    with pytest.raises(Exception, match="four is not done"):
        got.extend(map_in_order(refusing, list(range(9)), workers=1))
    assert got == list(range(len(got)))


def same(one: Collection, other: Collection) -> None:
    assert one.ids() == other.ids()
    assert one.table().equals(other.table())
    np.testing.assert_array_equal(one.pixels(), other.pixels())
    assert one.quarantine().equals(other.quarantine())


class StopError(Exception):
    pass


def stop_at(images: int) -> Progress:
    def stop(done: int, total: int, note: str = "") -> None:
        if done >= images:
            raise StopError

    return stop


def test_a_cluster_ingests_and_embeds_as_one_process_and_keeps_what_was_done(
    cluster: None, source: SmallSource, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings: dict[str, Any] = {"layout": "folder", "size": 32, "workers": 2, "batch_rows": 40}
    local = ingest(source.root, tmp_path / "a.lance", **settings)
    with pytest.raises(StopError):
        ingest(source.root, tmp_path / "b.lance", engine="ray", progress=stop_at(110), **settings)
    begun = hilum.open(tmp_path / "b.lance").ids()
    assert begun == local.collection.ids()[: len(begun)]
    assert 40 <= len(begun) < 120
    there = ingest(source.root, tmp_path / "b.lance", engine="ray", **settings)
    assert there.already == len(begun)
    assert there.added + len(begun) == local.added
    assert there.quarantined == local.quarantined
    assert sum(there.quarantined.values()) == 1
    same(local.collection, there.collection)

    made = there.collection
    save_encoder(random_encoder("test_resnet", size=32, engine=slow_processor()), tmp_path / "e.st")
    encoder = str(tmp_path / "e.st")

    monkeypatch.setattr("hilum.collection.vectors.FLUSH_SECONDS", 0.0)
    two: dict[str, Any] = {"batch_size": 16, "engine": "ray", "workers": 2}
    with pytest.raises(StopError):
        hilum.embed(made, encoder, "v", progress=stop_at(81), **two)
    seen: list[tuple[int, int]] = []

    def see(done: int, total: int, note: str = "") -> None:
        seen.append((done, total))

    made = hilum.embed(made, encoder, "v", progress=see, **two)
    assert seen[0] == (0, 149 - 80)  # the batches that were kept are not done again
    made = hilum.embed(made, encoder, "w", batch_size=16)
    np.testing.assert_array_equal(made.vectors("v")[1], made.vectors("w")[1])


def test_what_is_no_engine_is_said(
    source: SmallSource, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UsageError, match="'spark' is not an engine; choose from local, ray"):
        ingest(source.root, tmp_path / "x", layout="folder", engine="spark")  # type: ignore[arg-type]
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(UsageError, match=r'needs more: pip install "hilum\[ray\]"'):
        check_engine("ray")
