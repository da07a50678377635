"""Files appear whole or not at all, whoever is killed and whoever else writes."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from hilum.files import replacing, write_json, write_text


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_is_the_old_one_until_the_block_ends(tmp_path: Path) -> None:
    path = write_text(tmp_path / "new" / "a.txt", "old")
    with replacing(path) as temporary:
        temporary.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert names(path.parent) == ["a.txt"]


def write_half(path: Path) -> None:
    with replacing(path) as temporary:
        temporary.write_text("half")
        raise KeyboardInterrupt


def test_a_block_that_fails_leaves_the_old_file_and_nothing_beside_it(tmp_path: Path) -> None:
    path = write_text(tmp_path / "a.txt", "old")
    with pytest.raises(KeyboardInterrupt):
        write_half(path)
    assert path.read_text() == "old"
    assert names(tmp_path) == ["a.txt"]


def test_what_a_killed_process_left_is_written_over(tmp_path: Path) -> None:
    code = (
        "import os, signal, sys; from pathlib import Path; from hilum.files import replacing\n"
        "with replacing(Path(sys.argv[1])) as temporary:\n"
        "    temporary.write_text('half'); os.kill(os.getpid(), signal.SIGKILL)"
    )
    path = write_text(tmp_path / "a.txt", "old")
    subprocess.run([sys.executable, "-c", code, path], check=False)
    assert (path.read_text(), len(names(tmp_path))) == ("old", 2)
    write_text(path, "new")
    assert (path.read_text(), names(tmp_path)) == ("new", ["a.txt"])


def test_several_processes_write_under_names_of_their_own(tmp_path: Path) -> None:
    with replacing(tmp_path / "a", shared=True, lasting=False) as temporary:
        temporary.write_text("ours")
        assert str(os.getpid()) in temporary.name
        with replacing(tmp_path / "a") as other:
            assert other != temporary
            other.write_text("theirs")
        assert (tmp_path / "a").read_text() == "theirs"
    assert (tmp_path / "a").read_text() == "ours"


def test_a_file_can_be_read_by_whom_the_user_lets(tmp_path: Path) -> None:
    plain = tmp_path / "plain"
    plain.touch()
    with replacing(tmp_path / "a") as temporary:
        temporary.touch()
        temporary.chmod(0o600)  # as libraries do that write weights
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == stat.S_IMODE(plain.stat().st_mode)


def test_numbers_that_json_does_not_know_are_refused_unless_asked_for(tmp_path: Path) -> None:
    path = write_json(tmp_path / "a.json", {"x": [1]}, indent=1)
    assert path.read_text() == '{\n "x": [\n  1\n ]\n}\n'
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(path, float("nan"))
    assert "1" in path.read_text()
    assert write_json(path, float("nan"), allow_nan=True).read_text() == "NaN\n"
