"""The bytes of a file, inflated block by block: memory does not grow with the file."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from framework.errors import DataError

BLOCK = 1 << 18  # most bytes of one block
PIECE = 1 << 16  # compressed bytes at a time
BOMB, BOMB_RATIO = 1 << 26, 200  # what has grown past both is no recording: real files shrink to 1/10
GZIP = b"\x1f\x8b"


def blocks(path: Path, digest: Any = None) -> Iterator[bytes]:
    """Yield the content of a plain or gzip file (told by its first bytes) in blocks of at most `BLOCK`.

    `digest`, a hash of hashlib, takes the bytes of the file itself.

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
                yield from inflate(path, file, first)
                return
            if not first and path.name.endswith(".gz"):
                raise DataError(f"{path}: is 0 bytes long and no gzip; download it again")
            while first:
                yield first
                first = file.read(BLOCK)
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); check the file") from None


class Hashed:
    """A file whose bytes are hashed as they are read."""

    def __init__(self, file: BinaryIO, digest: Any) -> None:
        self.file, self.digest = file, digest

    def read(self, size: int) -> bytes:
        """Return the next bytes."""
        piece = self.file.read(size)
        self.digest.update(piece)
        return piece


def inflate(path: Path, file: Any, piece: bytes) -> Iterator[bytes]:
    """Yield the content of a gzip file of one or more members."""
    unpack = zlib.decompressobj(31)
    read, given = 0, 0
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
                unpack = zlib.decompressobj(31)
            try:
                block = unpack.decompress(piece, BLOCK)
            except zlib.error as error:
                raise DataError(f"{path}: the gzip is damaged ({error}); download it again") from None
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
