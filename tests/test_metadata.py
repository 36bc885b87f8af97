"""What Tardis says of exchanges and instruments: dated rules, incidents, availability; kept, and optional."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from framework.cli import main as sheepfold
from framework.data import instrument
from framework.data.metadata import Exchange, exchange, instrument_of, rules_at
from framework.errors import ConfigError, VenueError
from framework.instruments import instrument as known_instrument
from framework.times import parse_time
from tests.tardis_bench import Bench, Fault, bench

__all__ = ["bench"]  # fixture


def record(data_dir: Path, name: str) -> dict[str, Any]:
    """Return a real reply of /instruments."""
    text = (data_dir / "tardis-messages" / "instruments" / f"instrument_{name}.json").read_text()
    found: dict[str, Any] = json.loads(text)
    return found


@pytest.mark.parametrize(
    ("day", "tick", "lot", "maker"),
    [
        (None, 0.1, 100.0, 0.0005),
        ("2024-10-22", 0.1, 100.0, 0.0005),
        ("2024-10-21", 0.1, 100.0, 0.0002),
        ("2024-07-31T04:00:00Z", 0.1, 100.0, 0.0002),
        ("2024-07-31T03:59:59Z", 0.5, 100.0, 0.0002),
        ("2021-06-08", 0.5, 1.0, 0.0002),
    ],
)
def test_the_rules_are_those_of_the_day(
    data_dir: Path, day: str | None, tick: float, lot: float, maker: float
) -> None:
    perpetual = record(data_dir, "perpetual")
    fields = rules_at(perpetual, day)
    assert (fields["priceIncrement"], fields["amountIncrement"], fields["makerFee"]) == (tick, lot, maker)
    found = instrument_of(perpetual, day)
    assert (found.id, found.kind, found.settle) == ("bitmex:XBTUSD", "inverse", "BTC")
    assert (found.tick_size, found.lot_size, found.multiplier) == (tick, lot, 1.0)
    assert found.maker == known_instrument("bitmex:XBTUSD").maker, "fees are not promised: the built-in ones"


def test_other_contracts(data_dir: Path) -> None:
    spot = instrument_of(record(data_dir, "spot"), "2024-01-01")
    assert (spot.id, spot.kind, spot.tick_size, spot.settle) == ("deribit:BTC_USDC", "spot", 0.01, "USDC")
    assert instrument_of(record(data_dir, "spot")).tick_size == 1.0
    assert instrument_of(record(data_dir, "future")).kind == "inverse"
    swap = {"id": "BTC-USDT-SWAP", "exchange": "okex-swap", "type": "perpetual", "contractMultiplier": 0.001,
            "changes": [{"until": "2023-01-01", "contractMultiplier": 0.01}]}  # fmt: skip
    assert instrument_of(swap).multiplier == 0.001
    assert instrument_of(swap, "2022-01-01").multiplier == 0.01
    for name in ("option", "combo"):
        with pytest.raises(ConfigError, match="cannot be traded here"):
            instrument_of(record(data_dir, name))


def test_instruments_are_asked_once_and_kept(bench: Bench, data_dir: Path) -> None:
    server = bench.serve(instruments={"bitmex": [record(data_dir, "perpetual")]})
    first = instrument("bitmex", "XBTUSD", "2021-01-01")
    assert (first.tick_size, first.lot_size) == (0.5, 1.0)
    assert instrument("bitmex", "BTC-USD") == instrument("bitmex", "xbtusd")
    assert len(server.requests) == 1
    bench.patch.delenv("TARDIS_API_KEY")
    assert instrument("bitmex", "XBTUSD", "2021-01-01") == first, "kept: no key is needed any more"
    instrument("bitmex", "XBTUSD", key=server.key, refresh=True)
    assert len(server.requests) == 2


def test_without_a_key_the_built_in_rules_hold(bench: Bench) -> None:
    server = bench.serve()
    bench.patch.delenv("TARDIS_API_KEY")
    assert instrument("binance-futures", "BTC-USDT", "2024-08-08") == known_instrument(
        "binance-futures:BTCUSDT", "2024-08-08"
    )
    assert server.requests == []
    bench.patch.setenv("TARDIS_API_KEY", "wrong-key")
    assert instrument("binance-futures", "BTCUSDT") == known_instrument("binance-futures:BTCUSDT")
    with pytest.raises(VenueError, match="HTTP 401"):
        instrument("binance-futures", "BTCUSDT", refresh=True)


@pytest.mark.parametrize(
    "fault",
    [
        Fault(status=500), Fault(body=b"no json"), Fault(body=b"[" * 100_000), Fault(body=b"[1]"),
        Fault(cut=9),
        Fault(body=gzip.compress(b"{", mtime=0)),
        Fault(body=b'{"datasets": 7, "incidentReports": [1, {"from": 3}]}'),
        Fault(body=b'{"datasets": {"symbols": [null, {"id": 7}, {"id": "../x"}], "exportedUntil": "x"}}'),
    ],
    ids=lambda fault: f"{fault.status} {(fault.body or b'')[:9]!r}",
)  # fmt: skip
def test_metadata_that_cannot_be_read_is_done_without(bench: Bench, fault: Fault) -> None:
    bench.serve(faults=[Fault("*/exchanges/*", -1, fault.status, body=fault.body, cut=fault.cut)])
    assert bench.get().complete


def test_a_bomb_in_the_metadata_is_bounded(bench: Bench) -> None:
    from framework.data import metadata

    bench.serve(faults=[Fault("*/exchanges/*", -1, body=gzip.compress(b" " * 10_000_000))])
    bench.patch.setattr(metadata, "MOST", 1_000_000)
    done = bench.get()
    assert done.complete
    assert "too long or cut off" in done.remarks[0]


def test_incidents_and_ranges() -> None:
    raw = {
        "datasets": {"exportedFrom": "2020-01-01", "exportedUntil": "2024-08-05T00:00:00.000Z"},
        "incidentReports": [
            {"from": "2024-01-03T00:00:00Z", "to": None, "details": "later"},
            {"from": "2024-01-01T00:00:00Z", "to": "2024-01-02T00:00:00Z", "status": "resolved"},
        ],
    }  # fmt: skip
    known = Exchange("binance", raw)
    assert [one.words for one in known.incidents()] == ["resolved", "later"]
    day = parse_time("2024-01-02")
    assert [one.words for one in known.incidents(day)] == ["later"], "it ended as the range begins"
    assert [one.words for one in known.incidents(0, parse_time("2024-01-03"))] == ["resolved"]
    assert known.exported == (parse_time("2020-01-01"), parse_time("2024-08-05"))


def test_unknown_exchanges_are_refused_with_near_names(bench: Bench) -> None:
    bench.serve()
    with pytest.raises(ConfigError, match="no exchange 'binence'; did you mean binance"):
        exchange("binence")


def test_info_of_a_symbol(bench: Bench, data_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    reports = [{"from": "2020-03-12T10:00:00.000Z", "to": "2020-03-12T11:00:00.000Z", "details": "overload"}]
    bench.serve(
        {"bitmex/trades/2020/03/01/XBTUSD": b""}, details={"bitmex": {"incidentReports": reports}},
        instruments={"bitmex": [record(data_dir, "perpetual")]},
    )  # fmt: skip
    assert sheepfold(["data", "info", "bitmex", "XBTUSD", "--as-of", "2021-01-01"]) == 0
    out = capsys.readouterr().out
    for words in ("kinds: trades", "tick_size: 0.5", "lot_size: 1.0", "kind: inverse",
                  "incidents reported: 1", "2020-03-12T10:00:00Z .. 2020-03-12T11:00:00Z  over"):  # fmt: skip
        assert words in out
    assert sheepfold(["data", "info", "bitmex", "XBTUSD", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["tick_size"] == 0.1
    assert sheepfold(["data", "info", "bitmax"]) == 2
    assert "did you mean bitmex" in capsys.readouterr().err
