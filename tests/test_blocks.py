"""Files inflated in a thread: the same bytes and errors by isal and by zlib, and no thread is left behind."""

from __future__ import annotations

import gzip
import hashlib
import random
import threading
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest

from framework.data import blocks as module
from framework.data.blocks import BLOCK, blocks
from framework.errors import DataError


@pytest.fixture
def large(tmp_path: Path) -> tuple[Path, bytes]:
    """A gzip of two members and zeros behind them, and what is in it."""
    rng = random.Random(7)
    text = b"".join(b"%d,%d\n" % (i, rng.randrange(10**9)) for i in range(60_000))
    path = tmp_path / "large.csv.gz"
    path.write_bytes(gzip.compress(text, 1) + gzip.compress(text, 6) + bytes(100))
    return path, text + text


def said(path: Path) -> tuple[str, int]:
    """Return the error of a file, and how many bytes came before."""
    count = 0
    try:
        for block in blocks(path):
            count += len(block)
    except DataError as error:
        return str(error), count
    return "", count


def threads() -> list[str]:
    """Return the threads that inflate."""
    return [one.name for one in threading.enumerate() if one.name == "inflate"]


def test_content_hash_and_size(large: tuple[Path, bytes]) -> None:
    path, text = large
    digest = hashlib.sha256()
    found = list(blocks(path, digest))
    assert b"".join(found) == text
    assert max(map(len, found)) <= BLOCK
    assert digest.digest() == hashlib.sha256(path.read_bytes()).digest()
    assert threads() == []


def test_a_reader_that_stops_leaves_no_thread(large: tuple[Path, bytes]) -> None:
    path, _ = large
    pieces = blocks(path)
    next(pieces)
    assert threads() == ["inflate"]
    pieces.close()  # type: ignore[attr-defined]
    assert threads() == []


def damages(data: bytes) -> list[Callable[[random.Random], bytes]]:
    """Return ways to damage a file."""

    def flip(rng: random.Random) -> bytes:
        at = rng.randrange(len(data) - 100)
        return data[:at] + bytes([data[at] ^ 1 << rng.randrange(8)]) + data[at + 1 :]

    def cut(rng: random.Random) -> bytes:
        return data[: rng.randrange(1, len(data) // 2)]

    def grow(rng: random.Random) -> bytes:
        return data + b"more"

    return [flip, flip, cut, grow]


def test_damage_is_refused_by_both(
    large: tuple[Path, bytes], seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each damage is an error of both, of one sort; a thread passes it on."""
    path, text = large
    whole, rng = path.read_bytes(), random.Random(seed)
    isal = module.fast
    assert isal is not None, "isal is a dependency"
    for n in range(40):
        path.write_bytes(damages(whole)[n % 4](rng))
        words = []
        for library in (isal, None):
            monkeypatch.setattr(module, "fast", library)
            words.append(said(path)[0].partition(" (")[0])
        assert words[0] == words[1] or "" not in words, f"damage {n}: {words}"
    path.write_bytes(whole)
    monkeypatch.setattr(module, "fast", None)
    assert said(path) == ("", len(text))
    assert threads() == []


def test_flags_of_a_header(large: tuple[Path, bytes]) -> None:
    path, _ = large
    data = bytearray(path.read_bytes())
    data[3] |= 0x40
    path.write_bytes(data)
    with pytest.raises(zlib.error):
        zlib.decompress(bytes(data), 31)
    assert "unknown header flags" in said(path)[0]
