"""Result: saved and read back to the bit, replaced whole, refused when altered, compared in words."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from framework.errors import ConfigError, ResultError
from framework.report.compare import DEFINITIONS, cell, compare, price, show, visible, when
from framework.result import SCHEMAS, Result
from tests.made_result import T0, make


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
    assert {"manifest.json", "metrics.json", "equity.csv", "equity.parquet", "cassette.jsonl.gz"} <= names
    assert json.loads((folder / "metrics.json").read_text())["profit_factor"] is None
    assert [path.name for path in tmp_path.iterdir()] == ["x"]  # no temporary folder is left
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    again.save(tmp_path / "y")
    assert {path.name: path.read_bytes() for path in (tmp_path / "y").iterdir()} == before


def test_the_positions_of_further_instruments_come_back(tmp_path: Path) -> None:
    one = make()
    more = one.equity.with_columns(one.equity["position"].alias("position:bitstamp:ETHUSD"))
    result = make(equity=more)
    again = Result.load(result.save(tmp_path / "x"))
    assert again.diff(result) == []
    assert again.equity.columns[-1] == "position:bitstamp:ETHUSD"
    for odd, words in (
        (more.rename({"position:bitstamp:ETHUSD": "pos"}), "equity table (column pos:Float64)"),
        (more.cast({"position:bitstamp:ETHUSD": pl.Int64}), "(column position:bitstamp:ETHUSD:Int64)"),
        (one.equity.drop("tokens"), "(no column tokens)"),
        (one.equity.select(pl.col("*").exclude("ts"), "ts"), "(their order)"),
    ):
        with pytest.raises(ResultError, match="columns are not those of the") as caught:
            Result.load(make(equity=odd, fingerprint="cd" * 32).save(tmp_path / words[-9:-1]))
        assert words in str(caught.value)


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
    "name", ["manifest.json", "metrics.json", "fills.parquet", "price.parquet", "cassette.jsonl.gz"]
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


def test_numbers_as_printed() -> None:
    assert show("total_return", -0.12345) == "−12.35 %"
    assert show("total_return", math.nan) == "–"
    assert show("trades", 12345) == "12,345"
    assert show("fees", -0.001) == "0.00"
    assert show("max_drawdown_days", 3.25) == "3.2 days"
    assert show("unheard_of", 1.5) == "1.50"
    assert price(0.00001234) == "0.00001234"
    assert price(43_210.5) == "43,210.50"
    assert price(1.1, 4) == "1.1000"
    assert cell(None) == "–"
    assert when(T0) == "2023-11-14 22:00"
    assert when(T0 + 5 * 10**9) == "2023-11-14 22:00:05"
    assert when(T0 + 26_649_157) == "2023-11-14 22:00:00.026"
    assert when(T0 + 1) == "2023-11-14 22:00"  # a page shows milliseconds, the tables every nanosecond
    assert when(2**62) == "–"
    assert visible("a\nb\x00", 10) == "a b⟨U+0000⟩"
    assert visible("x" * 12, 10) == "x" * 10 + " … (2 more characters)"
    assert visible("\ud800") == "⟨U+D800⟩"


def test_compare() -> None:
    one, other = make(), make(params={"fast": 9, "slow": 48, "share": 0.1 + 0.2}, fingerprint="cd" * 32)
    table = compare([one, other])
    assert table["name"].to_list() == ["EmaCross-abababab", "EmaCross-cdcdcdcd"]
    assert table["fast"].to_list() == [12, 9]
    assert "slow" not in table.columns
    assert table["sharpe"][0] == one.metrics["sharpe"]
    assert compare({"a": one}).select("name", "fingerprint").row(0) == ("a", "ab" * 32)
    assert compare([]).height == 0


def test_every_metric_is_defined_and_imports_stay_light() -> None:
    assert all(row.text and row.label for row in DEFINITIONS.values())
    code = (
        "import sys, framework.result; "
        "print([m for m in ('matplotlib', 'jinja2', 'pandas', 'PIL', 'numba') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-B", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
