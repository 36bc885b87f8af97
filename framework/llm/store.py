"""The local store of paid replies: diskcache behind a Disk that knows text and nothing else.

diskcache unpickles whatever a row says is pickled, opens whatever path a row names and forgets the oldest
rows after 1 GiB (CVE-2025-69872; facts in its issue 357). Here a row is one text with its checksum, inside
the database; a row that says anything else is damage, and damage is an error, never a miss.
"""

from __future__ import annotations

import hashlib
import os
import sqlite3
import stat
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import diskcache
from diskcache.core import METADATA

from framework.errors import ConfigError, DataError

VARIABLE = "SHEEPFOLD_CACHE"

_CHECK = 16  # hex digits of sha256 in front of each value
_SETTINGS = {
    "eviction_policy": "none",
    "cull_limit": 0,
    "size_limit": 2**62,
    "statistics": 0,
    "tag_index": 0,
    "disk_min_file_size": 2**62,
}


class Damaged(Exception):
    """A row that this store never wrote. Not an OSError: diskcache takes those for a miss."""


class TextDisk(diskcache.Disk):  # type: ignore[misc]
    """Rows of text, in the database. No pickle, no number, no file."""

    def put(self, key: object) -> tuple[str, bool]:
        """Return the database form of a key."""
        if type(key) is not str:
            raise TypeError(f"store keys are str, not {type(key).__name__}")
        return key, True

    def get(self, key: object, raw: object) -> str:
        """Return a key read from the database; anything but text is damage."""
        if type(key) is not str or raw != 1:
            raise Damaged("its key is not text")
        return key

    def store(self, value: object, read: bool, key: object = diskcache.UNKNOWN) -> tuple[int, int, None, str]:
        """Return the columns (size, mode, filename, value) of a text."""
        if type(value) is not str or read:
            raise TypeError(f"store values are str, not {type(value).__name__}")
        return 0, 1, None, value

    def fetch(self, mode: object, filename: object, value: object, read: bool) -> str:
        """Return the text of a row; pickles, files and numbers are damage and are not opened."""
        if mode != 1 or filename is not None or read or type(value) is not str:
            raise Damaged(f"it is not plain text (mode {mode!r}, {'a' if filename else 'no'} file)")
        return value

    def remove(self, file_path: object) -> None:
        """Do nothing: no row of ours has a file, so a named one belongs to somebody else."""


def default_folder() -> Path:
    """Return SHEEPFOLD_CACHE, else ~/.cache/sheepfold/llm."""
    chosen = os.environ.get(VARIABLE)
    return Path(chosen).expanduser() if chosen else Path.home() / ".cache" / "sheepfold" / "llm"


class Store:
    """Text by key, on disk, for many processes.

    Parameters
    ----------
    folder : where it lives; default `default_folder()`. Made private to its owner (0700) at every open.

    Raises
    ------
    ConfigError
        The folder cannot be made, or belongs to another user.
    DataError
        The database is damaged.
    """

    def __init__(self, folder: str | os.PathLike[str] | None = None) -> None:
        self.folder = Path(folder) if folder is not None else default_folder()
        make_private(self.folder)
        try:
            _check_settings(self.folder / "cache.db")
        except Damaged as error:
            raise DataError(f"{self.folder}: {error}; move it away, its answers are asked again") from None
        except (sqlite3.Error, UnicodeDecodeError) as error:  # SQLite tells of names as they are in the file
            raise self._broken(error) from None
        self._cache = diskcache.Cache.__new__(diskcache.Cache)  # two steps: a half-open one gets closed
        try:
            # its attributes are set from a table in the file: ours are passed each time
            self._cache.__init__(str(self.folder), timeout=60, disk=TextDisk, **_SETTINGS)
        except (sqlite3.Error, OSError, ValueError, TypeError, AttributeError, KeyError) as error:
            self._cache.close()
            raise self._broken(error) from None
        for file in self.folder.glob("cache.db*"):
            file.chmod(0o600)
        weakref.finalize(self, self._cache.close)

    def __repr__(self) -> str:
        return f"Store({str(self.folder)!r})"

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __len__(self) -> int:
        return len(self.keys())

    def close(self) -> None:
        """Close this thread's connection; the store reopens when it is used again."""
        self._cache.close()

    def get(self, key: str) -> str | None:
        """Return the text of `key`, or None when it was never stored.

        Raises
        ------
        DataError
            The row is damaged: not text, of another key, or its checksum differs.
        """
        try:
            value = self._cache.get(key)
            if value is None:
                self._absent(key)
                return None
            return _checked(key, value)
        except Damaged as error:
            raise DataError(
                f"{self.folder}: row {key[:16]} is damaged: {error}; record it again with --refresh"
            ) from None
        except (sqlite3.Error, diskcache.Timeout, UnicodeDecodeError) as error:
            raise self._broken(error) from None

    def set(self, key: str, text: str) -> None:
        """Store `text` under `key`; it is on disk when this returns.

        Raises
        ------
        DataError
            The disk is full or the database is damaged.
        """
        value = _digest(key, text) + text
        try:
            stored = self._cache.set(key, value, retry=True)
        except (sqlite3.Error, OSError, diskcache.Timeout) as error:
            raise self._broken(error) from None
        if not stored:
            raise DataError(f"{self.folder}: row {key[:16]} was not written; check the disk's free space")

    def delete(self, key: str) -> None:
        """Forget `key`."""
        self._cache.delete(key, retry=True)

    def keys(self) -> list[str]:
        """Return all keys, sorted; damaged keys raise DataError."""
        try:
            return sorted(self._cache.iterkeys())
        except Damaged as error:
            raise DataError(f"{self.folder}: a row is damaged: {error}; remove it or the folder") from None
        except (sqlite3.Error, UnicodeDecodeError) as error:
            raise self._broken(error) from None

    def items(self) -> Iterator[tuple[str, str]]:
        """Yield (key, text) of every row, sorted by key, in one pass; each is checked as `get` does."""
        key: Any = ""
        try:
            columns = "key, raw, mode, filename, value, expire_time"
            rows = self._cache._sql(f"SELECT {columns} FROM Cache ORDER BY key")
            for key, raw, mode, filename, value, expires in rows:
                if expires is not None:
                    raise Damaged("it was given an expiry")
                text = self._cache.disk.fetch(mode, filename, value, False)
                yield self._cache.disk.get(key, raw), _checked(key, text)
        except Damaged as error:
            raise DataError(
                f"{self.folder}: row {str(key)[:16]} is damaged: {error}; record it again with --refresh"
            ) from None
        except (sqlite3.Error, UnicodeDecodeError) as error:
            raise self._broken(error) from None

    def _absent(self, key: str) -> None:
        """Tell a miss from a row that was made unreadable (raw = 0, or an expiry nobody set)."""
        rows = self._cache._sql("SELECT raw, expire_time FROM Cache WHERE key = ?", (key,)).fetchall()
        if any(raw != 1 or expires is not None for raw, expires in rows):
            raise Damaged("its key is not text, or it was given an expiry")

    def _broken(self, error: BaseException) -> DataError:
        text = str(error).replace("\n", " ")
        return DataError(f"{self.folder}: the store cannot be used ({text}); free space or move it away")


def _digest(key: str, text: str) -> str:
    return hashlib.sha256(f"{key}\n{text}".encode("utf-8", "surrogatepass")).hexdigest()[:_CHECK] + ":"


def _checked(key: str, value: Any) -> str:
    head, text = value[: _CHECK + 1], value[_CHECK + 1 :]
    if head != _digest(key, text):
        raise Damaged("its checksum differs")
    return str(text)


def _check_settings(database: Path) -> None:
    """Refuse a settings table with names or kinds of values that diskcache never wrote.

    Each row of it becomes an attribute of the cache, so `get` or `_disk` would replace a method or our Disk.
    """
    if not database.is_file():
        return
    known = {**diskcache.DEFAULT_SETTINGS, **METADATA}
    connection = sqlite3.connect(database, timeout=60)
    try:
        rows = connection.execute("SELECT key, value FROM Settings").fetchall()
    except sqlite3.OperationalError as error:
        if "no such table" not in str(error):
            raise
        return
    finally:
        connection.close()
    for name, value in rows:
        if name in _SETTINGS:
            continue
        if name not in known or type(value) is not type(known[name]):
            raise Damaged(f"its settings hold {str(name)[:40]!r}, which this store never wrote")


def make_private(folder: Path) -> None:
    """Make a folder that only its owner can read, or refuse somebody else's."""
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        info = folder.stat()
        if hasattr(os, "geteuid") and info.st_uid != os.geteuid():
            raise ConfigError(f"{folder} belongs to another user; set {VARIABLE} to a folder of your own")
        if stat.S_IMODE(info.st_mode) != 0o700:
            folder.chmod(0o700)
    except OSError as error:
        raise ConfigError(f"{folder}: {error.strerror}; set {VARIABLE} to a writable folder") from None
