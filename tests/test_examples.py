"""Examples are run, not only read: the first in a folder of its own, the others on what it left."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
FIRST = "few_labels.py"
WORDS = {
    "select_images.py": [], "ask_in_words.py": ["3"], "all_labels.py": ["1"],
    "similar_cases.py": [], "frontier.py": ["1"], "own_scores.py": [],
}  # fmt: skip
SAID = {
    "select_images.py": "image_id",
    "ask_in_words.py": "nearest to 'large pleural effusion on the left': ",
    "all_labels.py": "visit > 0",
    "similar_cases.py": "insertion (higher)",
    "frontier.py": "frontier.html",
    "own_scores.py": "Pneumothorax",
}


def run(name: str, out: Path, *words: str) -> str:
    command = [sys.executable, str(ROOT / "examples" / name), str(out), *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    out = tmp_path_factory.mktemp("examples")
    return out, run(FIRST, out, "40", "3")


def test_few_labels_ends_with_metrics(first: tuple[Path, str]) -> None:
    out, told = first
    assert "0 unreadable" in told
    assert "Cardiomegaly" in told
    assert (out / "results" / "metrics.json").exists()


@pytest.mark.parametrize("name", sorted(WORDS))
def test_every_other_example_goes_on_from_there(first: tuple[Path, str], name: str) -> None:
    assert SAID[name] in run(name, first[0], *WORDS[name])


def test_examples_stay_short_and_none_is_forgotten() -> None:
    examples = {path.name: path for path in (ROOT / "examples").glob("*.py")}
    assert set(examples) == {FIRST, *WORDS}
    for name, path in examples.items():
        assert path.read_text(encoding="utf-8").count("\n") <= 60, name
