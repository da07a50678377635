"""Ingest: parallel, in order, idempotent, and safe from kill -9, bad files and other sources."""

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from hilum.cli import main
from hilum.collection import Collection, open_collection, store
from hilum.collection.store import writer
from hilum.collection.summary import summarise
from hilum.errors import ClashError, CollectionError, LeakError, UsageError
from hilum.ingest import IngestReport, ingest
from hilum.ingest.admission import Admission
from hilum.workers import Limits
from small_source import SmallSource, small_source

ROOT = Path(__file__).resolve().parent.parent


def small_ingest(source: SmallSource, uri: Path, **options: object) -> IngestReport:
    defaults: dict[str, object] = {"layout": "folder", "size": 16, "workers": 1}
    return ingest(source.root, uri, **{**defaults, **options})  # type: ignore[arg-type]


def table_ingest(source: SmallSource, uri: Path, **options: object) -> IngestReport:
    """Ingest without pixels, where they play no part: no process needs to start."""
    return small_ingest(source, uri, size=None, pixels=False, **options)


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("template")
    small_ingest(small_source(folder / "a", 4), folder / "c")
    return folder / "c"


@pytest.fixture
def made(template: Path, tmp_path: Path) -> Path:
    """Return a collection of 4 images of source ``a`` at 16 px, that the test may change."""
    return Path(shutil.copytree(template, tmp_path / "made"))


def assert_same(one: Collection, other: Collection) -> None:
    assert_frame_equal(one.table(), other.table())
    np.testing.assert_array_equal(one.pixels(), other.pixels())


# --------------------------------------------------------------------------- real data


def test_the_sample_of_nih_is_counted_as_its_readme_says(data_dir: Path, tmp_path: Path) -> None:
    report = ingest(data_dir / "nih-sample", tmp_path / "c", layout="nih", size=64)
    facts = summarise(report.collection)
    assert (facts["images"], facts["patients"]) == (1115, 893)
    splits = {split: counts["images"] for split, counts in facts["splits"].items()}
    assert splits["train"] + splits["val"] == 849
    assert splits["test"] == 266
    assert sum(facts["boxes"].values()) == 39
    expected = {
        "No Finding": (353, 87), "Pneumonia": (242, 98), "Infiltration": (140, 64),
        "Atelectasis": (106, 31), "Pleural Effusion": (86, 34), "Edema": (55, 26),
        "Nodule": (60, 16), "Consolidation": (57, 16),
    }  # fmt: skip
    for finding, (trainval, test) in expected.items():
        counts = facts["findings"][finding]
        assert counts["train"]["present"] + counts["val"]["present"] == trainval, finding
        assert counts["test"]["present"] == test, finding
    assert report.quarantined == {}


def test_the_whole_table_of_nih_comes_in_without_pixels(data_dir: Path, tmp_path: Path) -> None:
    report = ingest(data_dir / "metadata", tmp_path / "c", layout="nih", pixels=False)
    facts = summarise(report.collection)
    assert (facts["images"], facts["patients"]) == (112_120, 30_805)
    assert facts["visits"]["images_with_earlier_visit"] == 81_315
    splits = facts["splits"]
    assert (splits["train"]["images"] + splits["val"]["images"]) == 86_524
    assert splits["test"]["images"] == 25_596
    share = splits["val"]["patients"] / (splits["train"]["patients"] + splits["val"]["patients"])
    assert share == pytest.approx(1 / 9, abs=0.01)


# --------------------------------------------------------------------------- order and idempotence


def test_the_table_is_the_same_for_any_number_of_workers_and_batches(tmp_path: Path) -> None:
    source = small_source(tmp_path / "source", 60)
    one = small_ingest(source, tmp_path / "one", workers=1).collection
    three = small_ingest(source, tmp_path / "three", workers=3, batch_rows=7).collection
    assert_same(one, three)
    assert one.ids() == source.ids


def test_a_commit_that_fails_in_the_middle_stops_the_ingest_and_a_second_run_mends_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = small_source(tmp_path / "source", 24)
    commit, calls = Admission._commit, iter(range(10))

    def failing(self: Admission, *batch: Any) -> list[dict[str, str | None]]:
        if next(calls) == 1:
            raise OSError("no space left on device")
        return commit(self, *batch)

    monkeypatch.setattr(Admission, "_commit", failing)
    with pytest.raises(OSError, match="no space left"):
        small_ingest(source, tmp_path / "c", batch_rows=6)
    assert next(calls) == 2  # nothing is committed after the failure, so the order stays
    monkeypatch.undo()
    report = small_ingest(source, tmp_path / "c", batch_rows=6)
    assert report.already == 6
    assert report.collection.ids() == source.ids


def test_the_same_source_twice_changes_nothing(tmp_path: Path) -> None:
    source = small_source(tmp_path / "source")
    (source.root / "films" / "i0005.png").write_bytes(b"not an image")
    first = small_ingest(source, tmp_path / "c")
    files = sorted(p for p in (tmp_path / "c").rglob("*") if p.name != "_lock")
    second = small_ingest(source, tmp_path / "c")
    assert (first.added, first.already) == (23, 0)
    assert (second.added, second.already) == (0, 23)
    assert second.quarantined == first.quarantined
    assert second.collection.version == first.collection.version
    assert sorted(p for p in (tmp_path / "c").rglob("*") if p.name != "_lock") == files


def test_a_source_that_has_grown_brings_in_what_is_new(tmp_path: Path) -> None:
    small = small_source(tmp_path / "small", 10)
    grown = small_source(tmp_path / "grown", 16)
    small_ingest(small, tmp_path / "c", name="hospital")
    report = small_ingest(grown, tmp_path / "c", name="hospital")
    # the films of the first ten are the same bytes: one generator, one seed
    assert (report.added, report.already) == (6, 10)
    assert_same(
        report.collection, small_ingest(grown, tmp_path / "whole", name="hospital").collection
    )


def test_one_ingest_leaves_one_file_and_the_version_before_it(tmp_path: Path) -> None:
    first = small_ingest(small_source(tmp_path / "a"), tmp_path / "c", batch_rows=2)
    assert len(list((tmp_path / "c" / "data").iterdir())) == 1
    old = first.collection
    other = small_source(tmp_path / "b", prefix="j", patient="q")
    small_ingest(other, tmp_path / "c", batch_rows=2)
    assert len(list((tmp_path / "c" / "_versions").glob("*.manifest"))) == 2
    assert len(old.ids()) == 24  # whoever had it open reads on
    assert old.pixels().shape == (24, 16, 16)


# --------------------------------------------------------------------------- clashes


def test_image_ids_of_another_source_are_refused_with_a_way_out(tmp_path: Path) -> None:
    small_ingest(small_source(tmp_path / "a"), tmp_path / "c")
    other = small_source(tmp_path / "b", patient="q", seed=1)
    with pytest.raises(
        ClashError,
        match=r"24 images of source 'b' .*\('i0000', 'i0001', 'i0002', \.\.\. by 'a'\).*"
        r"--prefix b-.*--name a",
    ):
        small_ingest(other, tmp_path / "c")
    report = small_ingest(other, tmp_path / "c", prefix="b-")
    assert report.added == 24
    assert report.collection.ids()[24] == "b-i0000"
    table = report.collection.table(["patient_id", "study_id", "source"])
    assert table.row(24) == ("b-q0", "b-q0-0", "b")
    assert small_ingest(other, tmp_path / "c", prefix="b-").added == 0


def test_patient_ids_of_another_source_are_refused(tmp_path: Path) -> None:
    table_ingest(small_source(tmp_path / "a"), tmp_path / "c")
    other = small_source(tmp_path / "b", prefix="j", seed=1)
    with pytest.raises(ClashError, match=r"12 patients of source 'b' have ids that are taken"):
        table_ingest(other, tmp_path / "c")


def test_another_source_may_not_take_a_name(tmp_path: Path) -> None:
    table_ingest(small_source(tmp_path / "a"), tmp_path / "c", name="x")
    other = small_source(tmp_path / "b", prefix="j", patient="q")
    with pytest.raises(ClashError, match=r"there is a source 'x' already, and none of its 24 im"):
        table_ingest(other, tmp_path / "c", name="x")


@pytest.mark.parametrize(
    ("column", "value", "said"),
    [("age", "99", "age"), ("Edema", "", "Edema"), ("study_id", "p99", "study_id")],
)
def test_an_image_whose_row_has_changed_is_refused(
    tmp_path: Path, column: str, value: str, said: str
) -> None:
    source = small_source(tmp_path / "source", 6)
    table_ingest(source, tmp_path / "c")
    change_cell(source, 4, column, value)
    with pytest.raises(
        ClashError, match=rf"1 images .* have changed in the source: .*{said}.* \('i0004'\); an im"
    ):
        table_ingest(source, tmp_path / "c")


def test_an_image_whose_box_has_changed_is_refused(tmp_path: Path) -> None:
    source = small_source(tmp_path / "source", 6)
    table_ingest(source, tmp_path / "c")
    boxes = source.root / "boxes.csv"
    boxes.write_text(boxes.read_text().replace(",4,8,", ",4,9,"))
    with pytest.raises(ClashError, match=r"1 images .*: boxes \('i0000'\)"):
        table_ingest(source, tmp_path / "c")


def test_an_image_whose_file_has_changed_is_refused(tmp_path: Path) -> None:
    source = small_source(tmp_path / "source", 6)
    small_ingest(source, tmp_path / "c")
    other = small_source(tmp_path / "other", 6, width=50)
    shutil.copy(other.root / "films" / "i0002.png", source.root / "films" / "i0002.png")
    with pytest.raises(ClashError, match=r"1 images .*: size of the file \('i0002'\)"):
        small_ingest(source, tmp_path / "c")


def test_a_finding_that_only_the_second_source_has_is_unknown_for_the_first(tmp_path: Path) -> None:
    table_ingest(small_source(tmp_path / "a", 4), tmp_path / "c")
    other = small_source(tmp_path / "b", 4, prefix="j", patient="q")
    table = other.root / "table.csv"
    table.write_text(table.read_text().replace("Pleural Effusion", "Hernia"))
    collection = table_ingest(other, tmp_path / "c").collection
    assert collection.findings == ("Edema", "Pleural Effusion", "No Finding", "Hernia")
    hernia = collection.labels().column("Hernia")
    np.testing.assert_array_equal(hernia, [*[np.nan] * 4, 1, 1, 0, np.nan])
    effusion = collection.labels().column("Pleural Effusion")
    np.testing.assert_array_equal(effusion, [1, 1, 0, np.nan, *[np.nan] * 4])


# --------------------------------------------------------------------------- settings


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"size": 32}, "was made with size 16, this ingest asks for size 32"),
        ({"resize": "chexzero"}, "was made with resize area, this ingest asks for resize chexzero"),
        ({"seed": 7}, "was made with seed 0, this ingest asks for seed 7"),
        ({"fractions": (0.5, 0.2, 0.3)}, r"made with fractions 0.8,0.1,0.1, .* 0.5,0.2,0.3"),
        ({"pixels": False}, "the collection has pixels, this ingest brings none"),
    ],
)
def test_other_settings_than_the_collections_are_refused(
    tmp_path: Path, made: Path, options: dict[str, object], message: str
) -> None:
    other = small_source(tmp_path / "b", 4, prefix="j", patient="q")
    with pytest.raises(CollectionError, match=message):
        small_ingest(other, made, **options)


def test_a_second_source_takes_the_settings_of_the_collection(tmp_path: Path) -> None:
    small_ingest(
        small_source(tmp_path / "a", 4), tmp_path / "c", seed=3, fractions=(0.5, 0.25, 0.25)
    )
    other = small_source(tmp_path / "b", 4, prefix="j", patient="q")
    settings = small_ingest(other, tmp_path / "c", size=None).collection.settings
    assert (settings.size, settings.seed, settings.fractions) == (16, 3, (0.5, 0.25, 0.25))
    assert [entry.name for entry in settings.sources] == ["a", "b"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"size": 0}, "size must be 1 to 4096 pixels, got 0"),
        ({"size": 5000}, "size must be 1 to 4096 pixels, got 5000"),
        ({"resize": "zoom"}, "'zoom' is not a way to resize; choose from area, chexzero"),
        ({"workers": 0}, "workers and batch_rows must be at least 1"),
        ({"batch_rows": 0}, "workers and batch_rows must be at least 1"),
        ({"fractions": (0.5, 0.1, 0.1)}, "three numbers from 0 to 1 with sum 1"),
        ({"layout": "nothing"}, "'nothing' is not a layout"),
    ],
)
def test_arguments_that_cannot_be_used_are_refused_before_any_work(
    tmp_path: Path, options: dict[str, object], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        small_ingest(small_source(tmp_path / "a", 4), tmp_path / "c", **options)
    assert not (tmp_path / "c").exists()


def test_a_folder_of_others_is_never_written_into(tmp_path: Path) -> None:
    (tmp_path / "c").mkdir()
    (tmp_path / "c" / "thesis.txt").write_text("mine")
    with pytest.raises(CollectionError, match=r"exists and is not a collection; choose a new path"):
        small_ingest(small_source(tmp_path / "a", 4), tmp_path / "c")
    assert [p.name for p in (tmp_path / "c").iterdir()] == ["thesis.txt"]


def test_a_source_that_leaks_is_refused_and_nothing_is_written(tmp_path: Path) -> None:
    source = small_source(tmp_path / "source", 6, split=True)
    change_cell(source, 1, "split", "test")
    with pytest.raises(LeakError, match="patient 'p0' has images in test and train"):
        table_ingest(source, tmp_path / "c")
    with pytest.raises(CollectionError, match="there is not a collection here"):
        open_collection(tmp_path / "c")


def test_a_source_without_patients_is_said_to_be_split_by_image(tmp_path: Path) -> None:
    source = small_source(tmp_path / "source", 4)
    (source.root / "table.csv").unlink()
    (source.root / "boxes.csv").unlink()
    assert table_ingest(source, tmp_path / "c").split_by == "image"
    assert table_ingest(small_source(tmp_path / "b", 4), tmp_path / "d").split_by == "patient"


def test_two_writers_at_once_are_told_apart(tmp_path: Path) -> None:
    source = small_source(tmp_path / "source", 4)
    with (
        writer(str(tmp_path / "c")),
        pytest.raises(CollectionError, match=rf"another process .*\(process {os.getpid()} on "),
    ):
        table_ingest(source, tmp_path / "c")
    assert table_ingest(source, tmp_path / "c").added == 4


# --------------------------------------------------------------------------- quarantine


def test_bad_files_go_into_quarantine_and_come_out_when_mended(tmp_path: Path) -> None:
    source = small_source(tmp_path / "source", 12)
    bad = source.root / "films" / "i0003.png"
    good = bad.read_bytes()
    bad.write_bytes(good[: len(good) // 2])
    hanging = source.root / "films" / "i0007.png"
    held = hanging.read_bytes()
    hanging.write_bytes(b"")
    report = small_ingest(source, tmp_path / "c", batch_rows=5)
    assert report.added == 10
    assert report.quarantined == {"truncated": 1, "empty": 1}
    assert [entry.rows for entry in report.collection.sources] == [10]
    rows = report.collection.quarantine().sort("image_id")
    assert rows["image_id"].to_list() == ["i0003", "i0007"]
    assert rows["file"].to_list() == ["films/i0003.png", "films/i0007.png"]
    assert rows["source"].to_list() == ["source", "source"]
    assert all(len(message) > 10 for message in rows["message"])
    assert summarise(report.collection)["quarantine"] == {"empty": 1, "truncated": 1}
    bad.write_bytes(good)
    report = small_ingest(source, tmp_path / "c")
    assert (report.added, report.already, report.quarantined) == (1, 10, {"empty": 1})
    hanging.write_bytes(held)
    report = small_ingest(source, tmp_path / "c")
    assert report.quarantined == {}
    assert report.collection.quarantine().is_empty()
    assert set(report.collection.ids()) == set(source.ids)


def test_a_whole_source_of_bad_files_makes_an_empty_collection(tmp_path: Path) -> None:
    source = small_source(tmp_path / "source", 3)
    for film in (source.root / "films").iterdir():
        film.write_bytes(b"no film")
    report = small_ingest(source, tmp_path / "c")
    assert (report.added, len(report.collection)) == (0, 0)
    assert sum(report.quarantined.values()) == 3


def test_the_quarantine_of_another_source_stays(tmp_path: Path) -> None:
    first = small_source(tmp_path / "a", 4)
    (first.root / "films" / "i0001.png").write_bytes(b"no film")
    small_ingest(first, tmp_path / "c")
    report = small_ingest(small_source(tmp_path / "b", 4, prefix="j", patient="q"), tmp_path / "c")
    assert report.quarantined == {}
    assert report.collection.quarantine()["source"].to_list() == ["a"]


def test_every_bad_file_of_the_corpus_is_quarantined_with_its_reason(tmp_path: Path) -> None:
    from corpus import bad_files

    root = tmp_path / "corpus"
    root.mkdir()
    bad = {
        file.path: file.reason
        for file in bad_files(root)
        if file.path.is_file() and not file.path.is_symlink()
    }
    assert len(bad) >= 40
    with (root / "table.csv").open("w", newline="") as table:
        rows = [[path.name, str(path.relative_to(root))] for path in bad]
        csv.writer(table).writerows([["image_id", "file"], *rows])
    report = ingest(root, tmp_path / "c", layout="folder", size=16, workers=2)
    got = dict(report.collection.quarantine().select("image_id", "reason").iter_rows())
    assert got == {path.name: reason for path, reason in bad.items()}
    assert report.added == 0


def test_a_file_that_takes_too_long_is_quarantined(tmp_path: Path) -> None:
    source = small_source(tmp_path / "source", 2)
    report = small_ingest(source, tmp_path / "c", limits=Limits(seconds=1e-4))
    assert report.quarantined == {"timeout": 2}
    assert small_ingest(source, tmp_path / "c").added == 2


@pytest.mark.parametrize(
    ("step", "call"), [("forget_versions", 1), ("set_settings", -1), ("forget_versions", 2)]
)
def test_stopped_while_it_clears_up_it_leaves_no_old_files_for_good(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str, call: int
) -> None:
    source = small_source(tmp_path / "source", 12)
    real, calls = getattr(store, step), 0

    def stop(*arguments: Any) -> None:
        nonlocal calls
        complete = step == "set_settings" and arguments[1].sources[0].complete
        calls += 1
        if calls == call or complete:
            raise KeyboardInterrupt
        real(*arguments)

    with monkeypatch.context() as patched:
        patched.setattr(store, step, stop)
        with pytest.raises(KeyboardInterrupt):
            small_ingest(source, tmp_path / "c", batch_rows=4)
    small_ingest(source, tmp_path / "c", batch_rows=4)
    assert len(list((tmp_path / "c" / "data").iterdir())) == 1


# --------------------------------------------------------------------------- kill -9

MOMENTS = ("lock", 3, 17, 31, 33)
"""When to kill: as soon as there is a lock, or as many commits (1 to create, 30 batches, end)."""


def test_killed_at_many_moments_it_ends_with_the_same_table(tmp_path: Path) -> None:
    source = small_source(tmp_path / "source", 120)
    (source.root / "films" / "i0050.png").write_bytes(b"not an image")
    uri = tmp_path / "c"
    seen = 0
    killed = 0
    for moment in MOMENTS:
        killed += kill_at(source, uri, moment)
        present = ids_of(uri)
        assert present == [i for i in source.ids if i != "i0050"][: len(present)]
        assert len(present) >= seen  # what was committed stays
        seen = len(present)
    assert killed >= 3
    assert seen > 0
    assert small_ingest(source, uri, name="source", batch_rows=4).quarantined == {
        "unknown-format": 1
    }
    whole = small_ingest(source, tmp_path / "whole", name="source").collection
    resumed = open_collection(uri)
    assert_same(resumed, whole)
    assert resumed.settings == replace(whole.settings)
    assert resumed.quarantine()["image_id"].to_list() == ["i0050"]
    assert summarise(resumed)["complete"]
    assert len(list((uri / "data").iterdir())) == 1  # nothing of the killed runs is left


OPTIONS = ("--layout", "folder", "--size", "16", "--batch-rows", "4", "--workers", "1")
CLI = [sys.executable, "-c", "from hilum.cli import main; main()"]


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT / "src"), "OMP_NUM_THREADS": "1"}


def kill_at(source: SmallSource, uri: Path, moment: int | str) -> bool:
    """Start an ingest, kill it at a moment, and say if it was still running."""
    words: Sequence[object] = ("ingest", source.root, uri, *OPTIONS)
    before = commits(uri)
    with subprocess.Popen(
        [*CLI, *map(str, words)],
        env=environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        while process.poll() is None:
            if moment == "lock" and (uri / "_lock").exists():
                break
            if isinstance(moment, int) and before < commits(uri) >= moment:
                break
            time.sleep(0.001)
        running = process.poll() is None
        process.send_signal(signal.SIGKILL)
    return running


def commits(uri: Path) -> int:
    """Return the number of the latest version; Lance counts manifests' names down from 2^64 - 1."""
    names = [path.stem for path in (uri / "_versions").glob("*.manifest")]
    return max((2**64 - 1 - int(name) for name in names if name.isdigit()), default=0)


def ids_of(uri: Path) -> list[str]:
    try:
        return list(open_collection(uri).ids())
    except CollectionError:
        return []


# --------------------------------------------------------------------------- command line


def run_cli(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, str, str]:
    """Run a command in this process; return exit status, output and errors."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["hilum", *map(str, words)])
        with pytest.raises(SystemExit) as stop:
            main()
    out, err = capsys.readouterr()
    return int(stop.value.code or 0), out, err


def test_the_command_says_what_it_did_and_exits_by_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = small_source(tmp_path / "source", 6)
    status, out, err = run_cli(capsys, "ingest", source.root, tmp_path / "c", *OPTIONS, "--json")
    assert status == 0, err
    report = json.loads(out)
    assert report["added"] == report["images"] == 6
    (source.root / "films" / "i0001.png").write_bytes(b"no film")
    status, out, err = run_cli(capsys, "ingest", source.root, tmp_path / "d", *OPTIONS)
    assert status == 3
    assert "1 files are in quarantine (" in err
    assert "5 images added" in out
    _, out, _ = run_cli(capsys, "show", tmp_path / "d", "--quarantine")
    assert out.splitlines()[0] == "image_id,source,file,reason,message"
    assert out.splitlines()[1].startswith("i0001,source,films/i0001.png,")
    _, out, _ = run_cli(capsys, "show", tmp_path / "c", "--json", "--where", "Pleural Effusion = 1")
    assert json.loads(out)["images"] == 3


def test_faults_of_the_user_are_one_sentence(
    tmp_path: Path, made: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = small_source(tmp_path / "source", 4)
    words = ("ingest", source.root, made, *OPTIONS)
    for option, value, status, message in (
        ("--seed", "5", 1, "was made with seed 0"),
        ("--fractions", "a,b", 2, "--fractions: expected numbers such as 0.5,"),
        ("--fractions", "", 2, "--fractions: expected numbers such as 0.5,"),
        ("--column", "age", 2, "--column takes OURS=THEIRS"),
    ):
        got, out, err = run_cli(capsys, *words, option, value)
        assert got == status
        assert err.startswith("Error: ")
        assert message in err
        assert out == ""
        assert "Traceback" not in err


def change_cell(source: SmallSource, row: int, column: str, value: str) -> None:
    table = source.root / "table.csv"
    frame = pl.read_csv(table, infer_schema=False)
    cells = frame[column].to_list()
    cells[row] = value
    frame.with_columns(pl.Series(column, cells)).write_csv(table)
