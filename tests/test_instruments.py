"""Instruments: validation, grids, symbols, and the built-in rules."""

from __future__ import annotations

import dataclasses
import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from framework.errors import ConfigError
from framework.instruments import (
    Instrument,
    floor_lot,
    grid_inverse,
    instrument,
    price_of,
    resolve,
    round_price,
)
from framework.symbols import FORMS, RULES


def test_defaults_mean_no_grid_and_unknown_fees():
    what = Instrument("binance:BTCUSDT")
    assert (what.tick_size, what.lot_size, what.min_notional, what.multiplier) == (0.0, 0.0, 0.0, 1.0)
    assert what.maker is None
    assert what.taker is None
    assert (what.venue, what.symbol, what.base, what.quote, what.settle) == (
        "binance",
        "BTCUSDT",
        "BTC",
        "USDT",
        "USDT",
    )
    assert round_price(1.23456789, what.tick_size) == 1.23456789
    assert dataclasses.replace(what, tick_size=0.1).tick_size == 0.1
    with pytest.raises(dataclasses.FrozenInstanceError):
        what.kind = "linear"


def test_settlement_by_kind():
    assert Instrument("deribit:BTC-PERPETUAL", "inverse").settle == "BTC"
    assert Instrument("bitmex:XBTUSD", "inverse").settle == "BTC"
    assert Instrument("binance-futures:BTCBUSD", "linear").settle == "BUSD"
    assert Instrument("binance-us:BNBUSD").settle == "USD"
    assert Instrument("my:THING").settle is None
    assert Instrument("my:THING", settle="EUR").settle == "EUR"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"id": "BTCUSDT"}, "no id"),
        ({"id": "binance:"}, "no id"),
        ({"kind": "liner"}, "did you mean linear"),
        ({"tick_size": -0.1}, "tick_size"),
        ({"tick_size": math.nan}, "tick_size"),
        ({"lot_size": "0.1"}, "lot_size"),
        ({"lot_size": True}, "lot_size"),
        ({"min_notional": -1}, "min_notional"),
        ({"multiplier": 0.0}, "multiplier"),
        ({"maker": 2.0}, "maker"),
        ({"taker": math.inf}, "taker"),
        ({"tiers": [(1.0, 0.1)]}, "tier 1"),
        ({"tiers": [(2.0, 0.1, 0.0), (1.0, 0.2, 0.0)]}, "tier 2"),
        ({"tiers": [(2.0, 1.1, 0.0)]}, "maintenance_rate"),
    ],
)
def test_wrong_values_are_named(options, words):
    with pytest.raises(ConfigError, match=words) as caught:
        Instrument(**{"id": "binance:BTCUSDT", **options})
    assert "\n" not in str(caught.value)


def test_explicit_zero_is_kept_and_notional_by_kind():
    assert Instrument("a:b", maker=0, taker=0).maker == 0.0
    assert Instrument("a:b", "linear", multiplier=0.01).notional(5.0, 100.0) == pytest.approx(5.0)
    assert Instrument("a:b", "inverse", multiplier=100.0).notional(5.0, 100.0) == pytest.approx(5.0)


@pytest.mark.parametrize(
    ("symbol", "venue", "id"),
    [
        ("BTC-USDT", "binance-futures", "binance-futures:BTCUSDT"),
        ("btc/usdt", "okex-swap", "okex-swap:BTC-USDT-SWAP"),
        ("BTC/USDT:USDT", "bybit", "bybit:BTCUSDT"),
        ("BTC-USDC", "bybit", "bybit:BTCPERP"),
        ("BTC-USD", "deribit", "deribit:BTC-PERPETUAL"),
        ("BTC_USDC", "deribit", "deribit:BTC_USDC"),
        ("BTC-USD", "bitmex", "bitmex:XBTUSD"),
        ("XBTUSD", "bitmex", "bitmex:XBTUSD"),
        ("BTC-USD", "binance-delivery", "binance-delivery:BTCUSD_PERP"),
        ("BTCUSDT_240329", "binance-futures", "binance-futures:BTCUSDT_240329"),
        ("BTC-USD-200103", "okex-futures", "okex-futures:BTC-USD-200103"),
        ("BTC-PERPETUAL", "deribit", "deribit:BTC-PERPETUAL"),
        ("okex:BTC-USDT", None, "okex:BTC-USDT"),
        ("binance:BTCUSDT", "binance", "binance:BTCUSDT"),
    ],
)
def test_symbols_resolve(symbol, venue, id):
    assert resolve(symbol, venue) == id


@pytest.mark.parametrize(
    ("symbol", "venue", "words"),
    [
        ("BTC-USDT", None, "binance:BTCUSDT, binance-futures:BTCUSDT"),
        ("BTC-USDT", "binanse", "did you mean binance"),
        ("BTC-USDT", "okx", "okex, okex-swap, okex-futures"),
        ("BTC-USDC", "deribit", "deribit:BTC_USDC-PERPETUAL, deribit:BTC_USDC"),
        ("BTC-USDT", "okex-futures", "expiry"),
        ("BTC-USDT", "binance-delivery", "give BTC-USD"),
        ("BTC USDT", "binance", "write it like"),
    ],
)
def test_ambiguous_symbols_are_refused_with_choices(symbol, venue, words):
    with pytest.raises(ConfigError, match=words):
        resolve(symbol, venue)


def test_built_in_rules_are_dated():
    assert instrument("binance-futures:BTCUSDT").tick_size == 0.1
    assert instrument("binance-futures:BTCUSDT", "2022-06-01").tick_size == 0.01
    assert instrument("binance-futures:BTCUSDT", "2023-06-01").min_notional == 5.0
    assert instrument("okex-swap:BTC-USDT-SWAP").multiplier == 0.01
    unknown = instrument("binance:ABCUSDT")
    assert (unknown.tick_size, unknown.taker) == (0.0, 0.001)
    assert instrument("coinbase:BTC-USD").taker is None
    for id in RULES:
        what = instrument(id)
        assert what.settle
        assert what.kind in {form.kind for form in FORMS[what.venue]}


@pytest.mark.parametrize("step", [0.01, 0.1, 1e-5, 1e-8, 0.5, 1.0, 0.25, 1e-6])
def test_grid_values_are_the_decimals(step):
    inverse = Fraction(str(step)).denominator
    for k in (1, 3, 7, 12345, 999_999, 4_234_567):
        assert (
            price_of(k, step) == float(Fraction(k) / inverse) if Fraction(str(step)).numerator == 1 else True
        )
    assert grid_inverse(step) == inverse
    assert grid_inverse(0.3) == 0.0
    assert price_of(3, 2.5) == 7.5


def test_a_step_is_one_over_a_whole_number_or_it_is_not():
    assert grid_inverse(3e-9) == 0.0  # 1/3e-9 is 333333333.33: within 1e-9 of a whole number, and none
    assert price_of(7, 3e-9) == 7 * 3e-9
    assert grid_inverse(1 / 3) == 3.0
    assert grid_inverse(0.1 + 1e-17) == 10.0
    assert grid_inverse(np.nextafter(0.1, 1.0)) == 10.0
    assert grid_inverse(7e-8) == 0.0


@given(st.integers(1, 2**45), st.sampled_from([0.01, 0.1, 1e-5, 1e-8, 0.5, 5.0, 1.0]))
@settings(max_examples=300)
def test_a_price_on_the_grid_stays(k, step):
    x = float(price_of(k, step))
    assert round_price(x, step, "down") == x == round_price(x, step, "up") == round_price(x, step, "nearest")


@given(st.floats(0.001, 1e6), st.sampled_from([0.01, 0.1, 1e-5, 0.5, 5.0]))
def test_rounding_goes_the_named_way(x, step):
    down, up, nearest = (round_price(x, step, how) for how in ("down", "up", "nearest"))
    slack = 1.1e-9 * step + 1e-15 * x
    assert down <= x + slack
    assert up >= x - slack
    assert up - down <= step * (1 + 1e-9) + 2 * slack
    assert abs(nearest - x) <= step / 2 * (1 + 1e-9) + slack
    assert floor_lot(x, step) == down


def test_rounding_takes_arrays_and_keeps_nan():
    result = round_price(np.array([1.23, np.nan, 4.56]), 0.5, "up")
    assert result[0] == 1.5
    assert np.isnan(result[1])
    assert result[2] == 5.0
    with pytest.raises(ConfigError, match="did you mean nearest"):
        round_price(1.0, 0.1, "nearst")
