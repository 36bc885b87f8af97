"""Questions over higher bars than those of the market: built as the engine builds them for on_bar."""

from __future__ import annotations

from pathlib import Path

import pytest

from framework import Strategy, backtest, check_lookahead, market_brief, samples, sweep
from framework.cli import main
from framework.questions import prompts_of, question_times
from framework.times import HOUR
from tests.market_frames import T0, market

CODE = '''from framework import Strategy, market_brief
class Asks(Strategy):
    bars = "4h"
    ask_every = "8h"
    def ask(self, view):
        return market_brief(view)
    def on_signal(self, signal, broker):
        if signal.direction != 0 and broker.position == 0.0:
            broker.order(signal.direction, share=0.2, stop=signal.stop, target=signal.target)
'''


class Hourly(Strategy):
    """Ask about hourly bars every four hours."""

    bars = "1h"
    ask_every = "4h"

    def ask(self, view):
        return market_brief(view)

    def on_signal(self, signal, broker):
        if signal.direction != 0 and broker.position == 0.0:
            broker.order(signal.direction, share=0.2, stop=signal.stop, target=signal.target)


class Named(Hourly):
    """The same question, its bars named in the call."""

    bars = None

    def ask(self, view):
        return market_brief(view, interval="1h")


@pytest.mark.parametrize("cls", [Hourly, Named])
def test_questions_over_bars_that_were_not_loaded(cls: type[Strategy]) -> None:
    raw = samples.load("perp-1m").slice(None, "2024-01-08")
    asked, ready = (prompts_of(cls(), one) for one in (raw, raw.resample("1h")))
    assert [p.text for p in asked] == [p.text for p in ready]
    assert len(asked) == 42
    result = backtest(cls, raw)
    assert result.decisions.height == 42
    assert result.orders.equals(backtest(cls, raw.resample("1h")).orders)
    assert sweep(cls, raw).row(0, named=True)["fingerprint"] == result.fingerprint


def test_no_question_sees_a_bar_before_its_close() -> None:
    proof = check_lookahead(Named, samples.load("perp-1m").slice(None, "2024-01-03"), cuts=3, scrambles=3)
    assert proof.ok, str(proof)


def test_the_warm_up_counts_the_bars_of_the_class() -> None:
    class Late(Hourly):
        """Wait for five hourly bars."""

        warmup = 4
        ask_every = "1h"

    assert question_times(Late(), market(600))[0] == T0 + 5 * HOUR


def test_the_command_asks_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("asks.py").write_text(CODE, encoding="utf-8")
    span = ["--from", "2019-01-01", "--to", "2019-02-01", "--no-report"]
    assert main(["backtest", "asks.py", "--out", "run", *span]) == 0, capsys.readouterr().err
    assert main(["rerun", "run"]) == 0
