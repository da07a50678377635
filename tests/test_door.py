"""One door: what `import hilum` offers, and that it stays light."""

import subprocess
import sys

import pytest

import hilum


@pytest.mark.parametrize("name", hilum.__all__)
def test_each_public_name_opens_and_is_documented(name: str) -> None:
    thing = getattr(hilum, name)
    assert thing is not None
    if callable(thing):
        assert (thing.__doc__ or "").strip(), f"hilum.{name} has no docstring"


def test_the_door_lists_exactly_its_names() -> None:
    assert dir(hilum) == sorted(hilum.__all__)
    assert len(set(hilum.__all__)) == len(hilum.__all__)
    with pytest.raises(AttributeError, match="no attribute 'train_everything'"):
        hilum.train_everything  # noqa: B018


@pytest.mark.parametrize(
    "name", ["embed", "classify", "evaluate", "ingest", "zeroshot", "retrieve"]
)
def test_a_verb_stays_a_function_after_its_module_was_imported(name: str) -> None:
    code = f"import hilum.{name}, hilum; assert callable(hilum.{name}), hilum.{name}"
    subprocess.run([sys.executable, "-c", code], check=True)
