"""Examples are run, not only read."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def test_few_labels_ends_with_metrics(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "examples" / "few_labels.py"), str(tmp_path), "30", "3"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "0 unreadable" in done.stdout
    assert "Cardiomegaly" in done.stdout
    assert (tmp_path / "results" / "metrics.json").exists()


def test_examples_stay_short() -> None:
    for example in (ROOT / "examples").glob("*.py"):
        assert example.read_text(encoding="utf-8").count("\n") <= 60, example.name
