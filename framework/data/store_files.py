"""Files of a store: where they lie, and how one appears whole or not at all."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import secrets
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

from framework.errors import ConfigError, DataError
from framework.times import format_time

try:
    import fcntl
except ImportError:  # no POSIX system: two writers at once are kept apart by the names of their files only
    fcntl = None  # type: ignore[assignment]

VARIABLE = "SHEEPFOLD_STORE"
NEW = ".new-"  # begins the name of a file that is being written
LONGEST = 120  # characters of a folder name
RESERVED = re.compile(r"(CON|PRN|AUX|NUL|COM\d|LPT\d)(\..*)?")
PLAIN = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-")
VENUE = re.compile(r"[a-z0-9][a-z0-9-]{0,63}")


def store_folder(folder: str | Path | None = None) -> Path:
    """Return the folder of a store: the argument, else SHEEPFOLD_STORE, else the user's data folder."""
    if folder is not None:
        return Path(folder)
    if given := os.environ.get(VARIABLE):
        return Path(given)
    home = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    return Path(home) / "sheepfold" / "data"


def symbol_folder(symbol: str) -> str:
    """Return the folder name of a symbol: two symbols never share one, whatever the file system folds.

    Letters A-Z, digits, `.`, `_` and `-` stay; everything else, a leading dot, and the first letter of names
    that some systems reserve become %XX of UTF-8.
    """
    if not isinstance(symbol, str) or not symbol:
        raise ConfigError(f"symbol: {symbol!r} is no symbol; write it as the exchange does, like BTCUSDT")
    text = "".join(c if c in PLAIN else escaped(c) for c in symbol)
    if text[0] == "." or text[-1] == "." or RESERVED.fullmatch(text):
        at = len(text) - 1 if text[-1] == "." and text[0] != "." else 0
        text = text[:at] + escaped(text[at]) + text[at + 1 :]
    if len(text) > LONGEST:
        raise ConfigError(f"symbol: {symbol[:40]!r}... is too long for a folder name (most {LONGEST} signs)")
    return text


def escaped(text: str) -> str:
    """Return %XX for each byte."""
    return "".join(f"%{byte:02X}" for byte in text.encode("utf-8", "surrogatepass"))


def symbol_of(folder: str) -> str:
    """Return the symbol of a folder name."""
    return unquote(folder, errors="surrogatepass")


def check_venue(venue: str) -> str:
    """Return an exchange id that can be a folder name."""
    if not isinstance(venue, str) or not VENUE.fullmatch(venue):
        raise ConfigError(f"venue: {venue!r} is no exchange id; write it like binance-futures")
    return venue


def day_name(day: int) -> str:
    """Return a day as file names have it."""
    return format_time(day)[:10]


def make_folder(folder: Path) -> None:
    """Make a folder, and those above it, readable by their owner alone."""
    try:
        for place in [*reversed(folder.parents), folder]:
            if not place.exists():
                place.mkdir(mode=0o700, exist_ok=True)
        if not folder.is_dir():
            raise DataError(f"{folder}: is a file where the store needs a folder; move it away")
    except OSError as error:
        raise unwritable(folder, error) from None


def unwritable(path: Path, error: OSError) -> DataError:
    """Return the error for a file that cannot be written."""
    return DataError(
        f"{path}: cannot be written ({error.strerror or type(error).__name__}); check the rights and the "
        "room on the disk, then do it again"
    )


@contextlib.contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Be the only writer of a folder; what killed writers left there is removed."""
    make_folder(folder)
    with locked(folder / ".lock"):
        if fcntl is not None:
            try:
                for left in folder.glob(f"{NEW}*"):
                    remove(left)
            except OSError as error:
                raise unwritable(folder, error) from None
        yield


@contextlib.contextmanager
def locked(path: Path, shared: bool = False) -> Iterator[None]:
    """Hold a lock file: alone, or together with others that share it."""
    try:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise unwritable(path.parent, error) from None
    try:
        if fcntl is not None:
            try:
                fcntl.flock(handle, fcntl.LOCK_SH if shared else fcntl.LOCK_EX)
            except OSError as error:
                raise DataError(
                    f"{path}: cannot be locked ({error.strerror}); keep the store on a disk that has locks"
                ) from None
        yield
    finally:
        os.close(handle)


def remove(path: Path) -> None:
    """Remove a file, or a folder with all it holds; nothing there is fine."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


@contextlib.contextmanager
def staging(path: Path, place: Path | None = None) -> Iterator[Path]:
    """Lend a folder beside a file (or in `place`) for what becomes that file; errors name the file."""
    folder = new_name(path) if place is None else place / new_name(path).name
    try:
        folder.mkdir(0o700)
        yield folder
    except OSError as error:
        raise unwritable(path, error) from None
    except DataError as error:
        words = re.sub(rf"{re.escape(str(folder))}/\w+", lambda _: str(path), str(error))
        if words == str(error):
            raise
        raise DataError(words) from None
    finally:
        for _ in range(100):  # a writer that was refused its rows may be about to open its file
            shutil.rmtree(folder, ignore_errors=True)
            if not folder.exists():
                break
            time.sleep(0.01)


def new_name(path: Path) -> Path:
    """Return a name beside a path for while the file is being written."""
    return path.with_name(f"{NEW}{os.getpid()}-{secrets.token_hex(4)}-{path.name}")


def settle(new: Path, path: Path) -> None:
    """Give a written file its final name, on the disk before this returns."""
    with open(new, "rb") as file:
        os.fsync(file.fileno())
    os.replace(new, path)
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Put the names of a folder on the disk."""
    with contextlib.suppress(OSError):  # some systems do not open folders
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def write_text(path: Path, text: str) -> None:
    """Write a small file, whole or not at all."""
    new = new_name(path)
    try:
        new.write_text(text, encoding="utf-8")
        settle(new, path)
    except OSError as error:
        new.unlink(missing_ok=True)
        raise unwritable(path, error) from None


def file_hash(path: Path) -> str:
    """Return sha256 (hex) of a file; memory does not grow with it."""
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); check the file") from None


__all__ = [
    "alone", "check_venue", "day_name", "file_hash", "locked", "make_folder", "new_name", "remove", "settle",
    "staging", "store_folder", "symbol_folder", "symbol_of", "sync_folder", "unwritable", "write_text",
]  # fmt: skip
