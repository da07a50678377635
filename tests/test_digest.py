"""Whatever can be learnt from a view decides its digest, and nothing else does."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import hilum
from hilum.collection import Collection, EmbeddingInfo
from hilum.collection.digest import content_digest
from small_source import small_source


def made(
    root: Path, change: tuple[str, str] | None = None, size: int = 32, **settings: Any
) -> Collection:
    """Ingest twelve films whose table has one text replaced."""
    source = small_source(root / "s", 12, **settings)
    table = source.root / "table.csv"
    text = table.read_text()
    if change is not None:
        assert change[0] in text
        table.write_text(text.replace(*change))
    report = hilum.ingest(source.root, root / "c.lance", layout="folder", size=size, workers=1)
    return report.collection


def test_it_is_the_same_for_the_same_content_whatever_was_embedded(tmp_path: Path) -> None:
    one, other = made(tmp_path / "a"), made(tmp_path / "b")
    assert content_digest(one) == content_digest(other)
    vectors = np.zeros((12, 3), np.float32)
    after = one.add_embedding("v", [(one.ids(), vectors)], EmbeddingInfo(3, "a" * 64, "none"))
    assert content_digest(after) == content_digest(one)


@pytest.mark.parametrize(
    "change",
    [
        ("i0004,", "i0099,"), ("p3,", "p9,"), ("PA", "AP"), (",24,", ",25,"), (",M,", ",F,"),
        ("p3-1,1,", "p3-1,0,"), ("Findings of i0002", "Findings of x"), ("Impression", "Said"),
    ],
    ids=lambda change: change[0],
)  # fmt: skip
def test_every_column_counts(tmp_path: Path, change: tuple[str, str]) -> None:
    one, other = made(tmp_path / "a"), made(tmp_path / "b", change)
    assert content_digest(one) != content_digest(other)


def test_pixels_labels_splits_and_rows_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = made(tmp_path / "a")
    digests = [content_digest(one), content_digest(one, ["Edema"]), content_digest(one, [])]
    digests.append(content_digest(one.where("age > 25")))
    digests.append(content_digest(made(tmp_path / "b", seed=1)))
    digests.append(content_digest(made(tmp_path / "c", split=True)))
    digests.append(content_digest(made(tmp_path / "d", size=16)))
    own = Collection.labels

    def turned(self: Collection, *args: Any, **kwargs: Any) -> Any:
        table = own(self, *args, **kwargs)
        return replace(table, values=-table.values)

    monkeypatch.setattr(Collection, "labels", turned)
    digests.append(content_digest(one))
    assert len(set(digests)) == len(digests)
    monkeypatch.undo()
    monkeypatch.setattr("hilum.collection.digest._ROWS", 5)
    assert content_digest(one) == digests[0]
