"""A verdict for every corrupt tick file of the corpus, and for random damage."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from framework import Market, from_tardis
from framework.errors import DataError
from tests.bad_ticks import ACCEPT, CORPUS, REFUSE, Bad, plain
from tests.mutate_ticks import mutate
from tests.tick_files import WHAT, save


def content(market: Market) -> list[Any]:
    """All rows of a market."""
    books = [part for book in market.books.values() for part in (book.messages, book.keys, book.lots)]
    rows = [*market.trades.values(), *market.quotes.values(), *market.mark.values(), *market.funding.values()]
    return [part.tobytes() for part in (*books, *rows)]


def test_the_corpus_is_large_and_its_names_differ() -> None:
    assert len(CORPUS) >= 100
    assert len({bad.name for bad in CORPUS}) == len(CORPUS)


@pytest.mark.parametrize("bad", CORPUS, ids=lambda bad: bad.name)
def test_verdict(bad: Bad, tmp_path: Path) -> None:
    path = save(tmp_path, bad.kind, bad.content, packed=bad.packed)
    if not bad.packed:
        path = path.rename(path.with_name(path.name.removesuffix(".gz") + ".gz"))
    if bad.verdict == REFUSE:
        with pytest.raises(DataError) as caught:
            from_tardis([path], WHAT)
        said = str(caught.value)
        assert path.name in said
        assert "\n" not in said
        assert len(said) < 600
        if bad.row:
            assert re.search(rf"\brow {bad.row}:", said), said
        for word in bad.words:
            assert word in said, said
        return
    market = from_tardis([path], WHAT)
    for word in bad.words:
        assert any(word in line for line in market.remarks), market.remarks
    if bad.verdict == ACCEPT:
        other = save(tmp_path, bad.kind, plain(bad.kind), "2023-04-05")
        assert content(from_tardis([other], WHAT)) == content(market)


@pytest.mark.parametrize("bad", CORPUS[::9], ids=lambda bad: bad.name)
def test_without_an_instrument(bad: Bad, tmp_path: Path) -> None:
    """Where the id is taken from the file itself it is read or refused, never another error."""
    path = save(tmp_path, bad.kind, bad.content, packed=bad.packed)
    said = path.name
    try:
        from_tardis([path])
    except DataError as error:
        said = str(error)
    assert path.name in said


def test_random_damage(seed: int, tmp_path: Path) -> None:
    said: list[str] = []
    assert mutate(200, seed, tmp_path, said.append) == 200, said
