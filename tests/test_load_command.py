"""`--market store:VENUE:SYMBOL`: stored days in the command, and the same again from what it saved."""

from __future__ import annotations

import gzip
import random
import sys
from pathlib import Path

import pytest

from framework import Instrument, load
from framework.cli import main
from framework.data.store import Store
from framework.result import Result
from tests.stored_days import date, made_days

ROOT = Path(__file__).parent.parent
SPAN = ["--from", date(0), "--to", date(2)]
MAKER = """from framework import Strategy

class Maker(Strategy):
    def on_trade(self, trade, broker):
        broker.cancel_all()
        broker.order(1 if broker.position <= 0 else -1, qty=0.001, price=trade.price)
"""


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int) -> Path:
    """A folder with a strategy and a store of two instruments."""
    rng = random.Random(seed)
    store = Store(tmp_path / "store")
    for venue in ("made", "more"):
        folder = tmp_path / venue
        folder.mkdir()
        paths = made_days(folder, rng, "incremental_book_L2", (0, 1), 300, full=True)
        paths += made_days(folder, rng, "trades", (0, 1), 300, full=True)
        if venue == "more":
            paths = [renamed(path) for path in paths]
        store.add_csv(paths, instrument=Instrument(f"{venue}:AAABBB", "linear", 0.1, 0.001))
    (tmp_path / "maker.py").write_text(MAKER)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    return tmp_path


def renamed(path: Path) -> Path:
    """The file as one of another exchange."""
    other = path.with_name(path.name.replace("made_", "more_"))
    text = gzip.decompress(path.read_bytes()).replace(b"\nmade,", b"\nmore,")
    other.write_bytes(gzip.compress(text, 1))
    path.unlink()
    return other


def test_run_and_run_again(desk: Path, warm: None, capsys: pytest.CaptureFixture[str]) -> None:
    """The store is a path relative to the folder the command was called in; without it the environment's."""
    run = ["backtest", "maker.py", "--market", "store:made:AAABBB", *SPAN, "--no-report"]
    assert main([*run, "--store", str(desk / "store"), "--streams", "trades,book", "--out", "one"]) == 0
    saved = Result.load("one")
    assert len(saved.fills)
    market = load("made", "AAABBB", date(0), date(2), store=desk / "store")
    assert saved.manifest["data"]["hash"] == market.content_hash()
    words = saved.manifest["command"]
    assert (words["store"], words["streams"]) == ("store", "trades,book")
    assert main(["rerun", "one"]) == 0
    assert "same result" in capsys.readouterr().out
    store = Store(desk / "store")
    store.remove(store.parts("made", "trades")[:1])
    assert main(["rerun", "one"]) == 5


def test_two_exchanges_are_one_market(
    desk: Path, warm: None, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHEEPFOLD_STORE", str(desk / "store"))
    both = "store:made:AAABBB,more:AAABBB"
    assert main(["backtest", "maker.py", "--market", both, *SPAN, "--no-report", "--out", "two"]) == 0
    assert Result.load("two").manifest["data"]["instruments"] == ["made:AAABBB", "more:AAABBB"]
    assert main(["rerun", "two"]) == 0


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["store:made:AAABBB", "--from", date(0)], "--to: say which days"),
        (["store:made", *SPAN], "--market: 'store:made' lacks a symbol"),
        (["store:made:AAABBC", *SPAN], "did you mean made:AAABBB"),
        (["store:made:AAABBB", *SPAN, "--streams", "boks"], "--streams: unknown 'boks'; did you mean book"),
        (["store:made:AAABBB", *SPAN, "--interval", "1m"], "--interval: stored days have their own"),
        (["sample:ticks", "--streams", "trades"], "--streams: is for --market store:VENUE:SYMBOL"),
    ],
)
def test_words_that_are_wrong(
    words: list[str],
    said: str,
    desk: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SHEEPFOLD_STORE", str(desk / "store"))
    assert main(["backtest", "maker.py", "--market", *words]) in (2, 3)
    assert said in capsys.readouterr().err
