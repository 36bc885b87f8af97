"""Result: saved and read back to the bit, replaced whole, refused when altered, compared in words."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from framework import metrics
from framework.errors import ConfigError, ResultError
from framework.report.compare import show
from framework.result import SCHEMAS, Result

HOUR = 3_600 * 10**9
T0 = 1_700_000_400 * 10**9 // HOUR * HOUR
ID = "binance-futures:BTCUSDT"


def make(rows: int = 500, reasoning: list[str] | None = None, seed: int = 3, **more: Any) -> Result:
    """Build a result of random numbers with every table filled."""
    rng = np.random.default_rng(seed)
    ts = T0 + HOUR * (1 + np.arange(rows))
    close = 30_000 * np.cumprod(1 + rng.normal(0, 0.006, rows))
    equity = 10_000 * np.cumprod(1 + rng.normal(0.0002, 0.004, rows))
    entries = np.arange(0, rows - 3, 7)
    k = len(entries)
    pnl = rng.normal(2, 30, k)
    trades = pl.DataFrame(
        {
            "instrument": [ID] * k,
            "side": np.where(entries % 2 == 0, "buy", "sell"),
            "qty": np.full(k, 0.1),
            "entry_ts": ts[entries],
            "exit_ts": ts[entries + 3],
            "entry_bar": entries,
            "exit_bar": entries + 3,
            "entry_price": close[entries],
            "exit_price": close[entries + 3],
            "gross": pnl + 1.0,
            "fees": np.ones(k),
            "funding": np.zeros(k),
            "pnl": pnl,
            "reason": ["stop"] * k,
        },
        schema=SCHEMAS["trades"],
    )
    status = ["filled"] * (k - 3) + ["rejected", "cancelled", "open"]
    orders = pl.DataFrame(
        {
            "id": np.arange(1, k + 1),
            "ts": ts[entries],
            "arrival_ts": ts[entries],
            "end_ts": [*ts[entries][:-1], None],
            "instrument": [ID] * k,
            "side": ["buy"] * k,
            "type": ["market"] * k,
            "tif": ["GTC"] * k,
            "qty": np.full(k, 0.1),
            "price": np.full(k, math.nan),
            "status": status,
            "filled_qty": np.full(k, 0.1),
            "avg_price": close[entries],
            "last_fill_ts": ts[entries],
            "maker": [False] * k,
            "n_fills": [1] * k,
            "reason": [""] * (k - 3) + ["insufficient margin", "position closed", ""],
        },
        schema=SCHEMAS["orders"],
    )
    fills = pl.DataFrame(
        {
            "order_id": np.arange(1, k + 1),
            "ts": ts[entries],
            "seen_ts": ts[entries] + 1,
            "bar_open_ts": ts[entries],
            "instrument": [ID] * k,
            "side": ["buy"] * k,
            "price": close[entries],
            "qty": np.full(k, 0.1),
            "fee": np.ones(k),
            "maker": [False] * k,
        },
        schema=SCHEMAS["fills"],
    )
    zeros = np.zeros(rows)
    account = pl.DataFrame(
        {
            "ts": ts,
            "equity": equity,
            "cash": equity,
            "position": close * 0 + 0.1,
            "realised": equity - 1e4,
            "unrealised": -zeros,
            "fees": zeros,
            "funding": zeros,
            "tokens": zeros,
        },
        schema=SCHEMAS["equity"],
    )
    decisions = None
    if reasoning is not None:
        n = len(reasoning)
        decisions = pl.DataFrame(
            {
                "ts": ts[:n],
                "instrument": [ID] * n,
                "status": ["ok"] * n,
                "regime": ["ranging"] * n,
                "direction": ["long"] * n,
                "confidence": [0.7] * n,
                "entry": close[:n],
                "stop": close[:n] * 0.97,
                "target": close[:n] * 1.05,
                "size": [0.2] * n,
                "latency_ns": [10**9] * n,
                "cost": [0.0] * n,
                "in_sample": [False] * n,
                "model": ["rules-1"] * n,
                "reasoning": reasoning,
                "key": ["k"] * n,
            },
            schema=SCHEMAS["decisions"],
        )
    found = metrics.summary(
        ts, equity, start=1e4, start_ts=T0, pnl=pnl, notional=0.1 * close[entries], ambiguous=4
    )
    chosen = {name: found[name] for name in ("total_return", "sharpe", "max_drawdown")}
    settings: dict[str, Any] = {
        "orders": orders,
        "fills": fills,
        "trades": trades,
        "equity": lambda: account,
        "decisions": decisions,
        "metrics": found,
        "params": {"fast": 12, "slow": 48, "share": 0.1 + 0.2},
        "fingerprint": "ab" * 32,
        "manifest": {
            "strategy": "EmaCross",
            "code": "cd" * 32,
            "costs": {"maker": 2e-4, "taker": 5e-4, "impact": None},
            "data": {"name": "demo", "start": int(ts[0]), "stop": int(ts[-1]), "notes": ["3 gaps"]},
            "instruments": {ID: {"kind": "linear", "multiplier": 1.0}},
            "cash": 10_000.0,
            "latency": {"order": "20ms"},
            "fills": {"at": "open", "intrabar": "worst"},
            "seed": 0,
        },
        "price": pl.DataFrame({"ts": ts, "close": close, "instrument": [ID] * rows}),
        "bounds": {"worst": chosen, "chosen": chosen, "best": chosen},
        "notes": ["short positions on a spot instrument"],
        "cassette": b'{"key":"k"}\n' if reasoning else b"",
    }
    return Result(**{**settings, **more})


def test_round_trip_to_the_bit(tmp_path: Path) -> None:
    result = make(reasoning=["plain", "=1+1"])
    result.metrics["profit_factor"] = math.nan
    folder = result.save(tmp_path / "x")
    again = Result.load(folder)
    assert again.diff(result) == []
    for name in SCHEMAS:
        assert_frame_equal(getattr(again, name), getattr(result, name), check_exact=True)
        for column in again._table(name).get_columns():
            if column.dtype == pl.Float64:
                ours = result._table(name)[column.name].to_numpy().view("i8")
                assert (column.to_numpy().view("i8") == ours).all(), (name, column.name)  # -0.0 and NaN too
    assert np.signbit(again.equity["unrealised"].to_numpy()).all()
    assert again.params == result.params
    assert again.manifest == result.manifest
    assert (again.fingerprint, again.status, again.notes) == (result.fingerprint, result.status, result.notes)
    assert again.bounds == result.bounds
    assert again.cassette == result.cassette
    assert math.isnan(again.metrics["profit_factor"])
    assert {k: v for k, v in again.metrics.items() if v == v} == {
        k: v for k, v in result.metrics.items() if v == v
    }
    names = {path.name for path in folder.iterdir()}
    assert {"manifest.json", "metrics.json", "equity.csv", "equity.parquet", "cassette.jsonl"} <= names
    assert json.loads((folder / "metrics.json").read_text())["profit_factor"] is None
    assert [path.name for path in tmp_path.iterdir()] == ["x"]  # no temporary folder is left
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    again.save(tmp_path / "y")
    assert {path.name: path.read_bytes() for path in (tmp_path / "y").iterdir()} == before


def test_empty_result(tmp_path: Path) -> None:
    result = Result()
    assert result.orders.columns == list(SCHEMAS["orders"])
    assert Result.load(result.save(tmp_path / "e")).diff(result) == []
    assert "no rows" in result.table()
    assert "<table>" in result._repr_html_()
    assert repr(result) == "<Result run-none done: >"


def test_tables_are_built_when_asked_for() -> None:
    calls: list[int] = []

    def build() -> pl.DataFrame:
        calls.append(1)
        return pl.DataFrame(schema=SCHEMAS["equity"])

    result = make(equity=build)
    assert calls == []
    assert result.equity.height == 0
    assert result.equity.height == 0
    assert calls == [1]


def test_replaced_whole_or_refused(tmp_path: Path) -> None:
    folder = make().save(tmp_path / "x")
    (folder / "mine.txt").write_text("keep")
    (folder / "report.html").write_text("stale")
    make(notes=["second"]).save(folder)
    assert Result.load(folder).notes == ["second"]
    assert (folder / "mine.txt").read_text() == "keep"
    assert not (folder / "report.html").exists()
    with pytest.raises(ConfigError, match="another result"):
        make(fingerprint="ff" * 32).save(folder)
    other = tmp_path / "other"
    other.mkdir()
    make().save(other)  # an empty folder is free
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "thesis.tex").write_text("years of work")
    with pytest.raises(ConfigError, match="holds other files"):
        make().save(tmp_path / "docs")
    assert (tmp_path / "docs" / "thesis.tex").exists()
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="is a file"):
        make().save(tmp_path / "file")
    with pytest.raises(ResultError, match="cannot write"):
        make().save(tmp_path / "file" / "below")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["docs", "file", "other", "x"]


def test_a_failed_save_leaves_the_old_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = make().save(tmp_path / "x")

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pl.DataFrame, "write_csv", full)
    with pytest.raises(ResultError, match="No space left"):
        make(notes=["new"]).save(folder)
    with pytest.raises(ResultError, match="No space left"):
        make().save(tmp_path / "fresh")
    assert Result.load(folder).notes == ["short positions on a spot instrument"]
    assert [path.name for path in tmp_path.iterdir()] == ["x"]


def test_swap_without_the_system_call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = make().save(tmp_path / "x")
    monkeypatch.setattr("framework.result_store._exchange", lambda *_: False)
    make(notes=["second"]).save(folder)
    assert Result.load(folder).notes == ["second"]
    assert [path.name for path in tmp_path.iterdir()] == ["x"]


@pytest.mark.parametrize(
    "name", ["manifest.json", "metrics.json", "fills.parquet", "price.parquet", "cassette.jsonl"]
)
def test_missing_or_altered_files_are_named(tmp_path: Path, name: str) -> None:
    folder = make(rows=60, reasoning=["a"]).save(tmp_path / "x")
    good = (folder / name).read_bytes()
    rng = np.random.default_rng(11)
    for _ in range(12):
        bad = bytearray(good)
        bad[int(rng.integers(len(bad)))] ^= int(rng.integers(1, 256))
        for data in (bytes(bad), good[: int(rng.integers(len(good)))]):
            (folder / name).write_bytes(data)
            with pytest.raises(ResultError) as caught:
                Result.load(folder)
            assert "\n" not in str(caught.value)
            assert name in str(caught.value) or name == "manifest.json"
    (folder / name).unlink()
    with pytest.raises(ResultError, match=name):
        Result.load(folder)
    with pytest.raises(ResultError, match="no such result folder"):
        Result.load(tmp_path / "none")


def test_diff_says_where(tmp_path: Path) -> None:
    one = make()
    assert one.diff(make()) == []
    fills = one.fills.with_columns(price=pl.when(pl.int_range(pl.len()) == 4).then(1.5).otherwise("price"))
    found = one.diff(
        make(fills=fills, fingerprint="cd" * 32, params={"fast": 13, "slow": 48, "share": 0.1 + 0.2})
    )
    assert found[0] == f"fingerprint: {'ab' * 32!r} here, {'cd' * 32!r} there"
    assert found[1].startswith("fills: row 4, column price: ")
    assert found[1].endswith(" here, 1.5 there")
    assert found[2:] == ["params.fast: 12 here, 13 there"]
    assert one.diff(make(trades=one.trades.head(3)))[0].startswith("trades: 71 rows here, 3 there")
    zeros = one.equity.with_columns(unrealised=pl.lit(0.0))
    assert one.diff(make(equity=zeros)) == ["equity: row 0, column unrealised: -0.0 here, 0.0 there"]
    assert "columns" in one.diff(make(orders=one.orders.drop("tif")))[0]
    versions = {**one.manifest, "versions": {"numpy": "9"}}
    assert one.diff(make(manifest=versions)) == []
    nulls = one.orders.with_columns(end_ts=pl.lit(None, dtype=pl.Int64))
    assert "end_ts" in one.diff(make(orders=nulls))[0]


def test_csv_is_harmless_in_a_spreadsheet(tmp_path: Path) -> None:
    hostile = ["=cmd|' /C calc'!A0", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "  =1", "fine - really", ""]
    folder = make(reasoning=hostile).save(tmp_path / "x")
    texts = pl.read_csv(folder / "decisions.csv")["reasoning"].fill_null("").to_list()
    assert [text[:1] == "'" for text in texts] == [True] * 7 + [False] * 2
    assert [text.removeprefix("'") for text in texts] == hostile
    assert Result.load(folder).decisions["reasoning"].to_list() == hostile  # only the CSV is changed
    unrealised = pl.read_csv(folder / "trades.csv", schema_overrides={"pnl": pl.String})["pnl"].to_list()
    assert any(text.startswith("-") for text in unrealised)  # numbers stay numbers


def test_text_and_notebook_output(tmp_path: Path) -> None:
    hostile = "<script>alert(1)</script>\x1b[31m\u202e\nsecond"
    result = make(notes=[hostile, "SYNTHETIC prices"], status="incomplete")
    text = result.table()
    assert "SYNTHETIC: " in text
    assert "INCOMPLETE: " in text
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert "⟨U+001B⟩[31m⟨U+202E⟩ second" in text
    assert f"fingerprint {'ab' * 32}" in text
    assert "note: 3 gaps" in text
    assert "Total return" in text
    assert f"[{', '.join([show('sharpe', result.metrics['sharpe'])] * 3)}]" in text
    folder = result.save(tmp_path / "x")
    assert f"folder {folder}" in result.table()
    stand_in = {**result.manifest, "analyst": {"name": "Rules", "stand_in": True}, "strategy": "<b>x</b>"}
    page = make(manifest=stand_in)._repr_html_()
    assert "Stand-in analyst" in page
    assert "<svg" in page
    assert "&lt;b&gt;x" in page
    assert "<b>x" not in page
    assert make(manifest=stand_in).name == "_b_x__b_-abababab"
