"""What page, terminal and notebook say: the costs really used, ambiguity, labels, axes."""

from __future__ import annotations

from framework.report import compare, plots
from tests.made_result import ID, make
from tests.test_report import words


def test_assumptions_are_those_really_used() -> None:
    base = make().manifest
    used = {
        **base, "costs": {"maker": None, "taker": None, "slippage": 5e-4},
        "fees": {ID: {"maker": -1e-4, "taker": 5e-4}, "x:B": {"maker": 0.001, "taker": 0.001}},
        "latency": {"feed": "0", "order": "20ms", "response": "table", "venues": ["okex"]}, "settle": "USDT",
    }  # fmt: skip
    result = make(manifest=used)
    text = words(result)
    for part in (
        f"fees.{ID} maker −0.01 %, taker 0.05 %", "fees.x:B maker 0.1 %, taker 0.1 %",
        "costs.slippage 0.0005",
        "latency orders 20ms, answers by the table, bars at once, others at okex",
    ):  # fmt: skip
        assert part in text, part
    assert "costs.maker" not in text
    assert f"{ID}: maker −0.01 %, taker 0.05 %" in result.table()
    alike = {**used, "fees": {ID: used["fees"]["x:B"], "x:B": used["fees"]["x:B"]}}
    assert "\nfees: maker 0.1 %, taker 0.1 %\n" in make(manifest=alike).table()


def test_nothing_ambiguous_is_said_so() -> None:
    found = make()
    for count, page_words, table_words in (
        (0, "No bar is ambiguous", "all one, no bar is ambiguous"),
        (1, "1 ambiguous bar: ", "assumed each way"),
        (4, "4 ambiguous bars: ", "assumed each way"),
    ):
        result = make(metrics={**found.metrics, "ambiguous_bars": count})
        assert page_words in words(result)
        assert table_words in result.table()


def test_bounds_that_differ_are_not_called_the_same() -> None:
    base = make()
    chosen = {"final_equity": 1.0}
    apart = {"worst": {"final_equity": 0.5}, "chosen": chosen, "best": chosen}
    result = make(metrics={**base.metrics, "ambiguous_bars": 0}, bounds=apart)
    assert "are the same" not in words(result)
    assert "assumed each way" in result.table()


def test_a_notebook_shows_parameters_and_notes() -> None:
    text = make(notes=["3 orders were <late>"])._repr_html_()
    assert ">fast =</td>" in text
    assert "<li>3 orders were &lt;late&gt;</li>" in text
    assert "<li>3 gaps</li>" in text


def test_a_log_axis_has_readable_ticks() -> None:
    assert plots.log_ticks(9_000.0, 41_000.0) == [10_000.0, 15_000.0, 20_000.0, 30_000.0]
    assert plots.log_ticks(0.02, 40.0) == [0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0]
    assert len(plots.log_ticks(1.0, 1e12)) <= 9
    assert [plots.log_label(v) for v in (0.03, 0.1, 1.0, 1.5, 20.0, 30_000.0)] == [
        "0.03", "0.1", "1", "1.5", "20", "30,000"
    ]  # fmt: skip


def test_every_metric_of_a_run_has_its_label() -> None:
    from framework import Strategy, backtest, samples

    class Idle(Strategy):
        """Hold nothing."""

        def on_bar(self, bar, broker):
            pass

    result = backtest(Idle, samples.load("perp-1m").slice(None, "2024-01-02"))
    assert all(compare.define(name).group != "Other" for name in result.metrics)
    assert result.manifest["settle"] == "USDT"
    assert result.manifest["instruments"]["synthetic:BTCUSDT-PERP"]["kind"] == "linear"
    assert "maker 0.02 %, taker 0.05 %" in result.table()
