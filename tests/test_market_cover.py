"""Funding and mark streams that do not cover the bars: refused, or counted in the notes."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from framework import Strategy, backtest
from framework.errors import ConfigError, DataError
from framework.market import Market
from framework.market_cover import SCHEDULE
from framework.times import DAY, HOUR, MINUTE
from tests.market_frames import ID, PERP, T0, market

DAYS = 6


class Idle(Strategy):
    """Hold nothing."""

    def on_bar(self, bar, broker):
        pass


def hours(id: str = PERP) -> Market:
    """Six days of hourly bars."""
    return market(24 * DAYS, "1h", HOUR, id)


def paid(first: int = T0, count: int = 3 * DAYS, leave: tuple[int, ...] = ()) -> pl.DataFrame:
    """Funding every eight hours, some rows left out."""
    ts = np.delete(first + 8 * HOUR * np.arange(count), leave)
    return pl.DataFrame({"ts": ts, "rate": np.full(len(ts), 1e-4)})


def marked(first: int = T0, count: int = 24 * DAYS, step: int = HOUR) -> pl.DataFrame:
    """Mark prices at a steady step."""
    return pl.DataFrame({"ts": first + step * np.arange(count), "price": np.full(count, 100.0)})


def notes(funding: pl.DataFrame, mark: pl.DataFrame | None = None) -> list[str]:
    """Notes of the six days with these streams, without the instrument."""
    one = hours().with_funding(funding, unit="ns")
    one = one if mark is None else one.with_mark(mark, unit="ns")
    return [note.removeprefix(f"{PERP}: ") for note in one.notes]


def test_streams_of_another_time_are_refused() -> None:
    words = (
        r"binance-futures:BTCUSDT: no row of the funding stream lies inside the bars: it covers "
        r"2025-02-04T00:00:00Z \.\. 2025-02-09T16:00:00Z, the bars 2024-01-01T00:00:00Z \.\. "
        r"2024-01-07T00:00:00Z"
    )
    with pytest.raises(DataError, match=words):
        hours().with_funding(paid(T0 + 400 * DAY), unit="ns")
    with pytest.raises(DataError, match="no row of the mark stream"):
        hours().with_mark(marked(T0 - 9 * DAY), unit="ns")
    with pytest.raises(DataError, match="the funding stream has no row"):
        hours().with_funding(paid().clear(), unit="ns")


def test_a_part_the_stream_does_not_reach_is_told() -> None:
    early = hours().with_funding(paid(count=3), unit="ns")
    assert backtest(Idle, early).status == "done"
    late = early.slice("2024-01-03")
    assert late.notes[-1] == (
        f"{PERP}: no row of the funding stream lies inside the bars: it covers 2024-01-01T00:00:00Z .. "
        "2024-01-01T16:00:00Z"
    )
    assert backtest(Idle, late).status == "done"


def test_a_piece_between_two_boundaries_runs() -> None:
    part = hours().with_funding(paid(), unit="ns").slice("2024-01-02 01:00", "2024-01-02 07:00")
    assert len(part.funding[0]) == 0
    backtest(Idle, part)
    left, right = part.split("2024-01-02 03:00")
    assert not any("no row" in note for note in (left + right).notes)


def test_spot_pays_no_funding() -> None:
    with pytest.raises(ConfigError, match="binance:BTCUSDT is spot and pays no funding"):
        hours(ID).with_funding(paid(), unit="ns")


def test_what_is_missing_is_counted() -> None:
    basis = "no mark stream; funding is priced at the bar's open"
    assert notes(paid()) == [basis]
    at = "before the first, 2024-01-02T08:00:00Z"
    lack = "funding boundaries are missing at a spacing of 8h"
    assert notes(paid(T0 + 32 * HOUR, 14)) == [basis, f"3 {lack} (3 {at}); no funding is paid there"]
    assert notes(paid(count=16)) == [
        basis, f"2 {lack} (2 after the last, 2024-01-06T00:00:00Z); no funding is paid there"
    ]  # fmt: skip
    assert notes(paid(leave=(4, 5, 9))) == [basis, f"3 {lack} (3 between); no funding is paid there"]
    one = "1 funding boundary is missing at a spacing of 8h (1 between); no funding is paid there"
    assert notes(paid(leave=(4,))) == [basis, one]
    sliced = hours().with_funding(paid(count=16), unit="ns").slice(None, "2024-01-03")
    assert sliced.notes == (f"{PERP}: {basis}",)


def test_another_schedule_is_no_hole() -> None:
    ts = np.concatenate((T0 + 8 * HOUR * np.arange(SCHEDULE + 1), T0 + 52 * HOUR + 4 * HOUR * np.arange(23)))
    mixed = pl.DataFrame({"ts": ts, "rate": np.full(len(ts), 1e-4)})
    assert not any("missing" in note for note in notes(mixed))


def test_funding_without_a_mark_of_its_time_is_counted() -> None:
    assert notes(paid(), marked()) == []
    assert notes(paid(), marked(T0 + 5, step=HOUR)) == []
    found, due = notes(paid(), marked(T0 + 40 * HOUR, 30)), "of 18 funding boundaries lie"
    assert found[0].startswith("113 mark prices are missing at a spacing of 1h (39 before the first, ")
    assert found[1:] == [
        f"5 {due} before the first mark price (2024-01-02T16:00:00Z) and are priced at the bar's open",
        f"9 {due} after the last mark price (2024-01-03T21:00:00Z) and are priced at it",
    ]


def test_bars_that_end_apart_are_told() -> None:
    one, other = market(600), market(600, id="binance:ETHUSDT", seed=2)
    assert (one + other).notes == ()
    assert (one + other.slice(None, T0 + 599 * MINUTE)).notes == ()
    assert (one + other.slice(None, T0 + 300 * MINUTE)).notes == (
        "bars end at different times: those of binance:ETHUSDT at 2024-01-01T05:00:00Z, those of "
        "binance:BTCUSDT at 2024-01-01T10:00:00Z; a position keeps its last close from there on",
    )


def test_irregular_marks_have_no_holes_between() -> None:
    rng = np.random.default_rng(5)
    ts = T0 + np.cumsum(rng.integers(1, 90 * MINUTE, 200))
    found = notes(paid(), pl.DataFrame({"ts": ts, "price": np.full(200, 100.0)}))
    assert not any("between" in note for note in found)
