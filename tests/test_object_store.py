"""A collection in an object store that speaks S3: made, read, embedded and searched there."""

import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from hilum.collection import EmbeddingInfo, build_index, open_collection
from hilum.errors import CollectionError
from hilum.ingest import ingest
from hilum.retrieve import retrieve
from small_source import small_source

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def bucket() -> Iterator[str]:
    """Start a server that pretends to be S3, with one bucket; return its address."""
    pytest.importorskip("moto")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    where = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-W", "ignore", "-m", "moto.server", "-H", "127.0.0.1",
               "-p", str(port)]  # fmt: skip
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    with pytest.MonkeyPatch.context() as patched:
        for name, value in {
            "AWS_ENDPOINT": where, "AWS_ALLOW_HTTP": "true", "AWS_REGION": "us-east-1",
            "AWS_ACCESS_KEY_ID": "nobody", "AWS_SECRET_ACCESS_KEY": "nothing",
        }.items():  # fmt: skip
            patched.setenv(name, value)
        try:
            _make_bucket(f"{where}/films", server)
            yield "s3://films"
        finally:
            server.terminate()
            server.wait()


def _make_bucket(address: str, server: "subprocess.Popen[bytes]") -> None:
    for _ in range(600):
        assert server.poll() is None, "moto's server ended"
        try:
            urllib.request.urlopen(urllib.request.Request(address, method="PUT")).close()
        except OSError:
            time.sleep(0.1)
        else:
            return
    raise AssertionError("moto's server did not answer within a minute")


def test_a_collection_in_an_object_store_is_that_on_a_disk(bucket: str, tmp_path: Path) -> None:
    source = small_source(tmp_path / "s", 40)
    (source.root / "films" / "i0007.png").write_bytes(b"no film")
    uri = f"{bucket}/deep/c.lance"
    with pytest.raises(CollectionError, match="there is not a collection here"):
        open_collection(uri)
    far = ingest(source.root, uri, layout="folder", size=32, workers=1, batch_rows=15)
    near = ingest(source.root, tmp_path / "c.lance", layout="folder", size=32, workers=1)
    assert far.quarantined == near.quarantined
    one, other = far.collection, near.collection
    assert one.table().equals(other.table())
    np.testing.assert_array_equal(one.pixels(), other.pixels())
    assert one.quarantine().equals(other.quarantine())

    again = ingest(source.root, uri, layout="folder", size=32, workers=1)
    assert (again.added, again.already) == (0, 39)

    info = EmbeddingInfo(32, "e" * 64, "drawn")
    vectors = np.random.default_rng(0).normal(size=(39, 32)).astype(np.float32)
    one = one.add_embedding("v", [(one.ids()[:20], vectors[:20])], info)
    one = one.add_embedding("v", [(one.ids()[20:], vectors[20:])], info)  # what was missing
    np.testing.assert_array_equal(one.vectors("v")[1], vectors)
    build_index(uri, "v")
    one = open_collection(uri)
    found = retrieve(one, "v", like="i0004", k=5, index="ann")
    assert found.method == "ann"
    assert found.ids == retrieve(one, "v", like="i0004", k=5, index="exact").ids
    assert not Path("s3:").exists()  # nothing was taken for a path
