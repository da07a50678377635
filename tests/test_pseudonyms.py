"""Keyed hashes: stable, secret without the key, and a key file that is made once."""

import hashlib
import hmac
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hilum import pseudonyms as module
from hilum.errors import ClashError, UsageError
from hilum.pseudonyms import default_key_file, load_key, pseudonym, pseudonyms

KEY = bytes(range(32))


@given(kind=st.sampled_from(["patient", "study"]), value=st.text())
def test_a_pseudonym_is_the_start_of_an_hmac(kind: str, value: str) -> None:
    try:
        message = f"{kind}\0{value}".encode()
    except UnicodeEncodeError:
        return
    assert pseudonym(KEY, kind, value) == hmac.digest(KEY, message, "sha256").hex()[:16]
    assert pseudonym(KEY, kind, value) != hashlib.sha256(message).hexdigest()[:16]


def test_key_and_kind_change_it() -> None:
    kinds = {pseudonym(KEY, kind, "7") for kind in ("patient", "study", "image")}
    assert len(kinds | {pseudonym(bytes(32), "patient", "7")}) == 4


def test_a_collision_is_an_error_that_names_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    assert set(pseudonyms(KEY, "patient", ["a", "b", "a"])) == {"a", "b"}
    monkeypatch.setattr(module, "pseudonym", lambda *_: "0" * 16)
    with pytest.raises(ClashError, match=r"^two patient identifiers have the same pseudonym under"):
        pseudonyms(KEY, "patient", ["a", "b"])


def test_the_key_is_made_once_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "er" / "key"
    with ThreadPoolExecutor(8) as pool:  # many first users at once agree on one key
        keys = set(pool.map(load_key, [path] * 8))
    assert len(keys) == 1
    assert keys == {load_key(path)}
    assert len(keys.pop()) == 32
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [p.name for p in path.parent.iterdir()] == ["key"]
    assert load_key(tmp_path / "other") != load_key(path)


def test_the_default_place_follows_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    assert default_key_file() == tmp_path / "hilum/pseudonym.key"
    load_key()
    assert default_key_file().is_file()
    monkeypatch.delenv("XDG_CONFIG_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert default_key_file() == tmp_path / ".config/hilum/pseudonym.key"


@pytest.mark.parametrize(
    ("content", "mode", "message"),
    [
        (b"00" * 31, 0o600, "expected 64 hexadecimal digits, got something else; restore the key"),
        (b"zz" * 32, 0o600, "expected 64 hexadecimal digits"),
        (b"", 0o600, "expected 64 hexadecimal digits"),
        (b"\xff\xfe", 0o600, r"cannot be read or made \(UnicodeDecodeError\)"),
        (b"00" * 32, 0o640, r"others may read the pseudonym key \(mode 640\); run chmod 600 on it"),
    ],
)
def test_a_key_file_that_cannot_be_used_is_refused(
    tmp_path: Path, content: bytes, mode: int, message: str
) -> None:
    path = tmp_path / "key"
    path.write_bytes(content)
    path.chmod(mode)
    with pytest.raises(UsageError, match=message) as caught:
        load_key(path)
    assert "zz" not in str(caught.value).replace(str(tmp_path), "")


def test_a_key_file_in_an_impossible_place_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match=r"cannot be read or made \((NotADirectory|FileExists)Er"):
        load_key(tmp_path / "file" / "key")
