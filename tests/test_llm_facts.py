"""Facts, instructions and portfolio in a brief: the same bytes everywhere, and nothing from the future."""

from __future__ import annotations

import dataclasses
import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from framework import Strategy, View, market_brief, samples
from framework.errors import SignalError
from framework.llm.decision import Prompt
from framework.llm.facts import AsOf, described, need_static
from framework.llm.portfolio import with_portfolio
from framework.llm.prompt import SYSTEM, Brief, make_brief, render
from framework.questions import prompts_of
from tests.test_llm_prompt import GOLDEN, HOUR, bars_of, golden_brief

ADDED = """
News: ETF approved, fees cut
basis: -0.000012345600
day high: 0.412346
open interest: 1234.5679
rank: 3
ratio: 12.3457
zero: 0.000000
Portfolio:
Position: short 0.10000000
Entry price: 0.310000
Unrealised: 3.23%
Share of equity: -0.30%
Open orders: 2"""

BARS = bars_of(60)
NOW = int(BARS["close_ts"][-1])


def asked(**added: Any) -> Any:
    return make_brief(NOW, "x", HOUR, BARS, **added)


@pytest.mark.parametrize("number", [float, np.float64])
def test_golden_bytes(number: Any) -> None:
    whole = int if number is float else np.int64
    facts = {
        "ratio": AsOf(number(12.3456789), whole(NOW)), "rank": AsOf(whole(3), NOW),
        "zero": AsOf(number(-0.0), NOW), "basis": AsOf(number(-0.0000123456), NOW),
        "News": AsOf("ETF approved, fees cut", NOW), "day high": AsOf(number(0.4123456), NOW, "price"),
        "open interest": AsOf(number(1234.56789), NOW, "volume"),
    }  # fmt: skip
    broker = SimpleNamespace(position=number(-0.1), entry_price=number(0.31), price=number(0.3),
                             equity=number(10.0), cash=number(9.0), orders=whole(2))  # fmt: skip
    added = asked(facts=facts, instructions="Be calm.  \n- Trade \u2264 1 time a day.\n", version="calm-2")
    brief = dataclasses.replace(golden_brief(number), facts=added.facts, instructions=added.instructions)
    system, user = render(with_portfolio(brief, broker))
    assert user == GOLDEN + ADDED
    assert system == SYSTEM + "\n\nInstructions of the user:\nBe calm.\n- Trade \u2264 1 time a day."
    for name in ("facts", "instructions", "version"):
        assert "float64" not in repr(getattr(added, name))


def test_numpy_of_another_major_version_prints_otherwise_and_changes_nothing() -> None:
    facts = {"a": AsOf(np.float32(0.5), NOW), "b": AsOf(np.int8(-4), NOW)}
    brief = asked(facts=facts)
    with np.printoptions(precision=2, legacy="1.13"):
        assert render(asked(facts=facts)) == render(brief)
    assert render(brief)[1].endswith("\na: 0.500000\nb: -4")


def test_a_fact_from_the_future_raises_with_name_and_time() -> None:
    asked(facts={"close": AsOf(1.0, NOW)})
    with pytest.raises(
        SignalError, match=r"^fact close of 2019-01-03 12:00:00 UTC \(\d+\) is later than the question"
    ):
        asked(facts={"close": AsOf(1.0, NOW + 1)})
    with pytest.raises(SignalError, match=r"^fact close is a plain float; write AsOf\(value, known_ts\)"):
        asked(facts={"close": 1.0})


class Peeking(Strategy):
    """Puts something into its prompts that it should not."""

    fault: str = ""
    ask_every = "1d"

    def ask(self, view: View) -> Brief:
        later = view.now + (1 if self.fault == "fact" else 0)
        words = f"It is {view.now}." if self.fault == "instructions" else "Be calm."
        facts = {"close": AsOf(view.price(), later, "price")}
        return market_brief(view, facts=facts, instructions=words, version="a")

    def on_signal(self, signal: Any, broker: Any) -> None: ...


def test_a_strategy_cannot_put_the_future_into_its_questions() -> None:
    market = samples.load("btcusd-1h").slice("2018-06-01", "2018-06-10")
    prompts = prompts_of(Peeking(), market)
    assert {p.version for p in prompts} == {"a"}
    assert all(p.text.endswith(f"close: {p.brief.price:.2f}") for p in prompts)
    with pytest.raises(SignalError, match=r"fact close of 2018-06-0\d .* is later than the question at 2018"):
        prompts_of(Peeking(fault="fact"), market)
    with pytest.raises(SignalError, match=r"instructions at 2018-06-0. .* differ from those at 2018"):
        prompts_of(Peeking(fault="instructions"), market)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: AsOf(math.nan, NOW), "cannot be written into a prompt"),
        (lambda: AsOf(np.float64(math.inf), NOW), "cannot be written into a prompt"),
        (lambda: AsOf(10**400, NOW), "cannot be written into a prompt"),
        (lambda: AsOf(True, NOW), "not a bool"),
        (lambda: AsOf([1.0], NOW), "not a list"),  # type: ignore[arg-type]
        (lambda: AsOf("two\nlines", NOW), "on one line"),
        (lambda: AsOf("x" * 501, NOW), "1 to 500"),
        (lambda: AsOf(1.0, 1.5), "known_ts=1.5"),  # type: ignore[arg-type]
        (lambda: AsOf("4000", NOW, "price"), "unit='price'"),
        (lambda: AsOf(1.0, NOW, "USD"), "unit='USD'"),
        (lambda: asked(facts={"a\nb": AsOf(1, NOW)}), "printable"),
        (lambda: asked(instructions="\x1b[2J"), "control characters"),
        (lambda: asked(instructions=" "), "instructions must be"),
        (lambda: asked(version="a b"), "version='a b'"),
    ],
)
def test_what_does_not_belong_into_a_prompt_is_refused(make: Any, words: str) -> None:
    with pytest.raises(SignalError, match=words):
        make()


def test_instructions_must_not_change_with_time() -> None:
    first = Prompt.of(asked(instructions="Be calm.", version="a"))
    need_static([first, first, Prompt.of(asked(instructions="Be bold.", version="b"))])
    later = dataclasses.replace(asked(instructions="The price will rise.", version="a"), ts=NOW + HOUR)
    with pytest.raises(SignalError, match=r"instructions at 2019-01-03 13:00:00 UTC differ from those at"):
        need_static([first, Prompt.of(later)])
    pinned = described([first, Prompt.of(asked())])
    assert pinned["versions"] == ["a"]
    assert len(pinned["instructions"]) == 1


def test_the_version_is_not_part_of_the_text_and_prompts_are_read_back() -> None:
    facts = {"a": AsOf(1.5, NOW), "b": AsOf("text", NOW)}
    one, other = (Prompt.of(asked(facts=facts, instructions="Be calm.", version=v)) for v in ("a", "b"))
    assert (one.text, one.system) == (other.text, other.system)
    assert (one.version, other.version) == ("a", "b")
    assert Prompt.from_dict(one.to_dict()) == one


def test_portfolio_of_a_flat_account_and_without_equity() -> None:
    flat = SimpleNamespace(position=0.0, entry_price=0.0, price=0.0, equity=0.0, cash=0.0, orders=0)
    brief = with_portfolio(asked(), flat)
    assert (brief.entry_price, brief.unrealised, brief.equity_share) == (None, None, None)
    assert render(brief)[1].endswith(
        "Portfolio:\nPosition: flat\nEntry price: n/a\nUnrealised: n/a\nShare of equity: n/a\nOpen orders: 0"
    )
    held = SimpleNamespace(**{**vars(flat), "position": 2.0, "entry_price": brief.price / 2, "equity": 1e4})
    brief = with_portfolio(asked(), held)  # no price of its own yet: the brief's
    assert brief.unrealised == pytest.approx(1.0)
    assert brief.equity_share == pytest.approx(2.0 * brief.price / 1e4)
