"""The bytes of a file, inflated block by block in a thread of its own: memory does not grow with the file."""

from __future__ import annotations

import threading
import zlib
from collections.abc import Iterator
from pathlib import Path
from queue import Empty, Queue
from typing import Any, BinaryIO

from framework.errors import DataError

try:  # the same stream, inflated 2.5 times as fast
    from isal import isal_zlib as fast_zlib
except ImportError:  # a machine it was not built for
    fast_zlib = None  # type: ignore[assignment]
fast: Any = fast_zlib

BLOCK = 1 << 18  # most bytes of one block
PIECE = 1 << 16  # compressed bytes at a time
AHEAD = 8  # blocks that wait for the reader
BOMB, BOMB_RATIO = 1 << 26, 200  # what has grown past both is no recording: real files shrink to 1/10
GZIP = b"\x1f\x8b"


def blocks(path: Path, digest: Any = None) -> Iterator[bytes]:
    """Yield the content of a plain or gzip file (told by its first bytes) in blocks of at most `BLOCK`.

    `digest`, a hash of hashlib, takes the bytes of the file itself. A large gzip is inflated by a thread that
    ends when the reader stops.

    Raises
    ------
    DataError
        A gzip that is cut short or damaged, bytes after it, an absurd growth, a file that cannot be read.
    """
    try:
        with open(path, "rb") as opened:
            file = opened if digest is None else Hashed(opened, digest)
            first = file.read(PIECE)
            if first.startswith(GZIP):
                found = inflate(path, file, first)
                yield from found if len(first) < PIECE else ahead(found)
                return
            if not first and path.name.endswith(".gz"):
                raise DataError(f"{path}: is 0 bytes long and no gzip; download it again")
            while first:
                yield first
                first = file.read(BLOCK)
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); check the file") from None


def ahead(made: Iterator[bytes]) -> Iterator[bytes]:
    """Yield what another iterator makes in a thread, a few blocks ahead; what it raises is raised here."""
    queue: Queue[Any] = Queue(AHEAD)
    stop = threading.Event()

    def work() -> None:
        last: Any = None
        try:
            for block in made:
                queue.put(block)
                if stop.is_set():
                    return
        except BaseException as error:
            last = error
        queue.put(last)

    thread = threading.Thread(target=work, name="inflate", daemon=True)
    thread.start()
    try:
        while isinstance(block := queue.get(), bytes):
            yield block
        if block is not None:
            raise block
    finally:
        stop.set()
        while thread.is_alive():  # it may wait for room
            empty(queue)
            thread.join(0.001)


def empty(queue: Queue[Any]) -> None:
    """Take everything out of a queue."""
    try:
        while True:
            queue.get_nowait()
    except Empty:
        return


class Hashed:
    """A file whose bytes are hashed as they are read."""

    def __init__(self, file: BinaryIO, digest: Any) -> None:
        self.file, self.digest = file, digest

    def read(self, size: int) -> bytes:
        """Return the next bytes."""
        piece = self.file.read(size)
        self.digest.update(piece)
        return piece


def unpacker() -> Any:
    """Return what inflates one member of a gzip file."""
    return zlib.decompressobj(31) if fast is None else fast.decompressobj(31)


def failed(path: Path, error: Exception) -> DataError:
    """Return the error for a gzip that cannot be inflated."""
    words = str(error).lower()
    why = "incorrect data check" if "checksum" in words or "crc" in words else str(error)
    return DataError(f"{path}: the gzip is damaged ({why}); download it again")


def check_flags(path: Path, member: bytes) -> None:
    """Refuse header flags that do not exist: zlib does, isal reads on."""
    if len(member) > 3 and member[3] & 0xE0:
        raise failed(path, ValueError("Error -3 while decompressing data: unknown header flags set"))


def inflate(path: Path, file: Any, piece: bytes) -> Iterator[bytes]:
    """Yield the content of a gzip file of one or more members."""
    unpack = unpacker()
    check_flags(path, piece)
    read, given = 0, 0
    errors: tuple[Any, ...] = (zlib.error,) if fast is None else (zlib.error, fast.error)
    while piece:
        read += len(piece)
        block = b""
        while piece or len(block) == BLOCK:
            if unpack.eof:
                piece = piece.lstrip(b"\0")
                if not piece:
                    break
                if not (piece.startswith(GZIP) or GZIP.startswith(piece)):
                    raise DataError(f"{path}: has other bytes after the gzip data; download it again")
                unpack = unpacker()
                check_flags(path, piece)
            try:
                block = unpack.decompress(piece, BLOCK)
            except errors as error:
                raise failed(path, error) from None
            piece = unpack.unused_data if unpack.eof else unpack.unconsumed_tail
            given += len(block)
            if given > BOMB and given > BOMB_RATIO * read:
                raise DataError(
                    f"{path}: {given} bytes came out of {read}: more than {BOMB_RATIO} to 1 is no recording"
                )
            if block:
                yield block
        piece = file.read(PIECE)
    if not unpack.eof:
        raise DataError(f"{path}: the gzip is cut short; download it again")
