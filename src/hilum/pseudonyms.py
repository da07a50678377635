"""Replace identifiers by keyed hashes, so that a collection can leave the hospital's network.

A pseudonym is the first 16 hex digits of HMAC-SHA256 (RFC 2104) over the kind of identifier and
its value, with a secret key of 32 bytes. Without the key nobody can test a guessed patient number,
which a plain hash would allow: all ten million eight-digit numbers hash in seconds. With the same
key the same patient gets the same pseudonym in every later ingest, so keep the key file safe and
apart from the collection; it is the only way back.
"""

import hashlib
import hmac
import os
import secrets
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from hilum.errors import ClashError, UsageError

KEY_BYTES: Final = 32
PSEUDONYM_DIGITS: Final = 16  # 64 bits: one collision expected among 5 thousand million values


def default_key_file() -> Path:
    """Return where the key lives unless told otherwise: ``$XDG_CONFIG_HOME/hilum``."""
    config = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    return Path(config) / "hilum" / "pseudonym.key"


def load_key(path: Path | None = None) -> bytes:
    """Read the key, or make one on first use.

    Parameters
    ----------
    path
        The key file: 64 hexadecimal digits. `default_key_file()` if None.

    Returns
    -------
    32 bytes.

    Raises
    ------
    UsageError
        If the file cannot be read or made, holds something else, or others may read it.
    """
    path = path or default_key_file()
    try:
        if not path.exists():
            _create(path)
        mode = path.stat().st_mode & 0o777
        text = path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        kind = type(error).__name__
        raise UsageError(f"{path}: the pseudonym key cannot be read or made ({kind})") from error
    if mode & 0o077:
        raise UsageError(
            f"{path}: others may read the pseudonym key (mode {mode:03o}); run chmod 600 on it"
        )
    try:
        key = bytes.fromhex(text)
    except ValueError:
        key = b""
    if len(key) != KEY_BYTES:
        raise UsageError(
            f"{path}: expected {2 * KEY_BYTES} hexadecimal digits, got something else; "
            "restore the key, or name a new file to start a new set of pseudonyms"
        )
    return key


def pseudonym(key: bytes, kind: str, value: str) -> str:
    """Return the pseudonym of one identifier.

    Parameters
    ----------
    key
        32 secret bytes, from `load_key`.
    kind
        ``"patient"``, ``"study"`` and so on: equal values of different kinds get unrelated
        pseudonyms.
    value
        The identifier.

    >>> pseudonym(bytes(32), "patient", "12345")
    '1c64b5c73c856747'
    """
    message = f"{kind}\0{value}".encode("utf-8", "surrogateescape")
    return hmac.new(key, message, hashlib.sha256).hexdigest()[:PSEUDONYM_DIGITS]


def pseudonyms(key: bytes, kind: str, values: Iterable[str]) -> dict[str, str]:
    """Return the pseudonym of every distinct identifier.

    Raises
    ------
    ClashError
        If two identifiers get one pseudonym. It names neither.
    """
    table = {value: pseudonym(key, kind, value) for value in values}
    if len(set(table.values())) != len(table):
        raise ClashError(
            f"two {kind} identifiers have the same pseudonym under this key; use another key file"
        )
    return table


def _create(path: Path) -> None:
    """Write a new key in one step, so that a second process never reads half of one."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    # mkstemp makes the file readable by its owner alone, before it holds anything.
    handle, name = tempfile.mkstemp(dir=path.parent)
    try:
        with os.fdopen(handle, "w", encoding="ascii") as file:
            file.write(secrets.token_hex(KEY_BYTES) + "\n")
            file.flush()
            os.fsync(file.fileno())
        os.link(name, path)
    except FileExistsError:
        pass  # another process was first; its key counts
    finally:
        Path(name).unlink()
