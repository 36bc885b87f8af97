"""Files as they land: checked while they come, under their final name only when whole and on disk."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import secrets
import threading
from pathlib import Path
from typing import Any

from framework.errors import ConfigError

zlib: Any
try:
    from isal import isal_zlib as zlib  # two to three times as fast
except ImportError:
    import zlib

MAGIC = b"\x1f\x8b"
BLOCK, OUT = 2**20, 2**22  # bytes read, and unpacked, at a time
RATIO, ROOM = 100, 64 * 2**20  # csv of ticks packs to a sixth or so; a bomb to a thousandth
LARGEST = 64 * 2**30  # bytes of one file
ENDING = ".part"


class Damaged(Exception):
    """Bytes that are not one whole gzip file."""


class Gunzip:
    """Unpacks a gzip file as it comes, keeping nothing: counts its bytes, and finds whatever is wrong."""

    def __init__(self, largest: int = LARGEST) -> None:
        self.largest, self.packed, self.unpacked = largest, 0, 0
        self._inflate: Any = None
        self._members = 0
        self._head = b""

    def feed(self, data: bytes) -> None:
        """Take the next bytes.

        Raises
        ------
        Damaged
            They are no gzip, damaged, more than a file may have, or unpack to more than ticks do.
        """
        self.packed += len(data)
        if self.packed > self.largest:
            raise Damaged(f"is longer than {self.largest:,} bytes")
        if self._inflate is None and len(self._head) + len(data) < 2:
            self._head += data
            return
        data, self._head = self._head + data, b""
        while data:
            data = self._unpack(data)

    def _unpack(self, data: bytes) -> bytes:
        if self._inflate is None:
            if data[:2] != MAGIC:
                raise Damaged("goes on after its gzip data ends" if self._members else "is no gzip file")
            self._members += 1
            self._inflate = zlib.decompressobj(31)
        try:
            out = self._inflate.decompress(data, OUT)
        except zlib.error:
            raise Damaged("is damaged gzip") from None
        self.unpacked += len(out)
        if self.unpacked > RATIO * self.packed + ROOM:
            raise Damaged(f"unpacks to more than {RATIO} times its size: this is no csv of ticks")
        if not self._inflate.eof:
            return bytes(self._inflate.unconsumed_tail)
        rest = bytes(self._inflate.unused_data)
        self._inflate = None  # a file may have several members
        if len(rest) == 1:
            self._head, rest = rest, b""
        return rest

    def finish(self) -> None:
        """Say that this was all.

        Raises
        ------
        Damaged
            It ends too early.
        """
        if self._inflate is not None or self._head or not self.packed:
            raise Damaged("ends before its gzip data does" if self.packed else "is empty, not even gzip")


def check_file(path: Path, largest: int = LARGEST) -> int:
    """Return the bytes of a whole gzip file; Damaged for any other. Memory stays flat."""
    gunzip = Gunzip(largest)
    with path.open("rb") as file:
        while data := file.read(BLOCK):
            gunzip.feed(data)
    gunzip.finish()
    return gunzip.packed


class Landing:
    """A file that comes in: under a temporary name, locked while its writer lives.

    `commit` makes it the file: on disk first, then under its name in one step. Whatever happens before leaves
    no file of that name, or the one that was there.
    """

    def __init__(self, path: Path, largest: int = LARGEST) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        sweep(path)
        self.path, self.gunzip = path, Gunzip(largest)
        self.part = path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}{ENDING}")
        self._file = os.open(self.part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
        fcntl.flock(self._file, fcntl.LOCK_EX)
        self._lock = threading.Lock()  # a cancelled download closes it while a thread still writes

    def write(self, data: bytes) -> None:
        """Check and write the next bytes."""
        with self._lock:
            self.gunzip.feed(data)
            view = memoryview(data)
            while view:
                view = view[os.write(self._file, view) :]

    def commit(self) -> None:
        """Check the end, put it on disk, and give it its name."""
        with self._lock:
            self.gunzip.finish()
            os.fsync(self._file)
            os.replace(self.part, self.path)
            sync_folder(self.path.parent)

    def close(self) -> None:
        """Let go; what was not committed is removed."""
        with self._lock:
            os.close(self._file)
            self._file = -1  # whoever comes late writes nowhere
            with contextlib.suppress(FileNotFoundError):
                self.part.unlink()


def sync_folder(folder: Path) -> None:
    """Put a folder's names on disk."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sweep(path: Path) -> None:
    """Remove what dead writers left of a file; a living one holds its lock."""
    for left in path.parent.glob(f".{glob_safe(path.name)}.*{ENDING}"):
        with contextlib.suppress(OSError):
            handle = os.open(left, os.O_WRONLY | os.O_CLOEXEC)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                left.unlink()
            finally:
                os.close(handle)


def glob_safe(name: str) -> str:
    """Return a name as a pattern that only it matches."""
    return "".join(f"[{c}]" if c in "*?[" else c for c in name)


def check_folder(folder: Path) -> None:
    """Make a folder and write to it once, before anything is fetched.

    Raises
    ------
    ConfigError
        It cannot be made or written.
    """
    try:
        make_private(folder)
        probe = folder / f".write-{os.getpid()}-{secrets.token_hex(4)}{ENDING}"
        with probe.open("xb") as file:
            file.write(b"x")
            os.fsync(file.fileno())
        probe.unlink()
    except OSError as error:
        raise ConfigError(f"{folder}: cannot be written ({error.strerror}); give another folder") from None


def make_private(folder: Path) -> None:
    """Make a folder and those above it that are not there, for this user only."""
    for one in (*reversed(folder.parents), folder):
        if not one.exists():
            one.mkdir(mode=0o700, exist_ok=True)
    if not folder.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(folder))


def check_inside(path: Path, folder: Path) -> None:
    """Refuse a place that links lead out of the folder."""
    if not path.parent.resolve().is_relative_to(folder.resolve()):
        raise ConfigError(f"{path.parent}: a link leads out of {folder}; remove it")
