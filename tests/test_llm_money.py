"""What a recording costs: planned, limited, repaired, and looked up in a dated table."""

from __future__ import annotations

import math
import pickle
from pathlib import Path
from typing import Any

import pytest

from framework.errors import BudgetExceeded, CacheMiss, ConfigError
from framework.llm import cutoffs, models, prices
from framework.llm.budget import Budget
from framework.llm.turns import REPAIR
from framework.testing.holysheep import Scripted
from tests.llm_bench import GOOD, Bench, bench, no_socket, prompts_of

__all__ = ["bench", "no_socket"]  # fixtures

EACH = (800 * 0.14 + 150 * 0.42) / 1e6  # USD; what the server says of its answers, at the model's price
BAD = GOOD.replace("0.8", "85")


def told(text: str) -> Scripted:
    """Return an answer of known cost."""
    return Scripted(text, usage={"prompt_tokens": 800, "completion_tokens": 150})


# the plan


def test_a_plan_opens_no_socket_and_is_never_too_low(bench: Bench, no_socket: None) -> None:
    with bench.client(record=False, response_format=None) as client:
        empty, plan = client.plan([]), client.plan(prompts_of(3) * 2)
    assert (empty.to_ask, empty.worst_usd) == (0, 0.0)
    assert (plan.prompts, plan.unique, plan.cached, plan.to_ask, plan.priced) == (6, 3, 0, 3, True)
    assert plan.worst_usd > 3 * EACH
    assert str(plan).startswith("6 prompts, 0 cached, 3 to ask, at most $0.00")
    assert "prices of 2026-11-23, holysheep.ai articles" in str(plan)
    with bench.client(record=False, model="unheard-of") as client:
        plan = client.plan(prompts_of(1))
    assert (plan.priced, math.isnan(plan.worst_usd)) == (False, True)
    assert str(plan) == "1 prompts, 0 cached, 1 to ask, price of unheard-of unknown"
    assert not bench.store.exists()


def test_a_plan_counts_what_is_recorded(bench: Bench) -> None:
    bench.serve()
    prompts = prompts_of(5)
    bench.decide(prompts[:2])
    with bench.client() as client:
        plan = client.plan(prompts)
        assert (plan.cached, plan.to_ask) == (2, 3)
        client.decide(prompts)
        assert 0.0 < client.spent_usd < plan.worst_usd
        assert (client.plan(prompts).to_ask, client.plan(prompts).worst_usd) == (0, 0.0)
    with bench.client(mode="refresh") as client:
        assert client.plan(prompts).to_ask == 5
        client.decide(prompts[:1])
        assert client.plan(prompts).to_ask == 4


# budgets


def test_a_budget_of_nothing_asks_nothing(bench: Bench) -> None:
    server = bench.serve()
    for budget in (0, 0.0, Budget(calls=0), Budget(tokens=0), 1e-9):
        with bench.client(budget=budget, response_format=None) as client:
            with pytest.raises(BudgetExceeded, match="raise the budget") as info:
                client.decide(prompts_of(2))
            assert info.value.exit_code == 4
            assert client.spent_usd == 0.0
    assert server.calls == 0


def test_a_stop_is_a_clean_checkpoint(bench: Bench) -> None:
    server = bench.serve(lambda body: told(GOOD))
    prompts = prompts_of(10)
    for number, limit in enumerate((3, 7, 10), 1):
        budget = Budget(calls=limit, name="mine", folder=bench.store)
        with bench.client(budget=budget, concurrency=4) as client:
            if limit < 10:
                with pytest.raises(BudgetExceeded, match=rf"of {limit} questions is used up.*only the rest"):
                    client.decide(prompts)
            else:
                assert [d.status for d in client.decide(prompts)] == ["ok"] * 10
            assert client.plan(prompts).to_ask == 10 - limit
        assert (server.calls, number, budget.state().open) == (limit, number, 0)
        assert budget.state().usd == pytest.approx(limit * EACH)


def test_the_plans_worst_case_is_budget_enough(bench: Bench) -> None:
    """Also where each reply has to be repaired and the endpoint has to be found out."""
    server = bench.serve(lambda body: Scripted(BAD if len(body["messages"]) < 4 else GOOD))
    prompts = prompts_of(4)
    with bench.client(response_format=None, repairs=1) as client:
        limit = client.plan(prompts).worst_usd
    with bench.client(response_format=None, repairs=1, budget=limit, concurrency=4) as client:
        assert [d.status for d in client.decide(prompts)] == ["ok"] * 4
        assert 0.0 < client.spent_usd <= limit
    assert server.calls == 8


def test_what_a_dead_process_had_reserved_stays_spent(tmp_path: Path) -> None:
    budget = Budget(1.0, tokens=1000, name="x", folder=tmp_path)
    budget.reserve(0.4, 400)  # and never settled
    other = pickle.loads(pickle.dumps(budget))
    entry = other.reserve(0.4, 400)
    with pytest.raises(BudgetExceeded, match=r"2 still open, \$0\.8000"):
        other.reserve(0.3, 10)
    other.settle(entry, 0.1, 100, 1)
    state = budget.state()
    assert (state.usd, state.tokens, state.open, state.open_usd) == (0.5, 500, 1, 0.4)
    with pytest.raises(BudgetExceeded, match="1000 tokens"):
        other.reserve(0.1, 501)
    assert Budget(1.0, folder=tmp_path).state().usd == 0.0  # without a name: a new ledger
    with pytest.raises(ConfigError, match="budget: usd=-1"):
        Budget(-1)
    with pytest.raises(ConfigError, match="budget: tokens=nan"):
        Budget(tokens=math.nan)  # type: ignore[arg-type]


def test_failed_questions_cost_nothing_and_lost_answers_do(bench: Bench) -> None:
    cut = Scripted(GOOD, message={"content": 5}, body=b'{"choices": [], "usage": {"prompt_tokens": 800, '
                   b'"completion_tokens": 150}}')  # fmt: skip
    bench.serve([Scripted(status=400), Scripted(status=500), told(GOOD), cut])
    budget = Budget(1.0, name="b", folder=bench.store)
    with bench.client(budget=budget, retries=0) as client:
        statuses = [d.status for d in client.decide(prompts_of(4))]
        assert statuses == ["missing", "missing", "ok", "missing"]
        assert (client.spent.answers, client.spent.lost) == (2, 1)
        assert client.spent_usd == pytest.approx(2 * EACH)
        assert budget.state().usd == pytest.approx(2 * EACH)
        assert budget.state().open == 0


# repair turns


def test_an_invalid_reply_is_repaired_under_the_first_key(bench: Bench) -> None:
    server = bench.serve([told(BAD), told(GOOD), told(GOOD)])
    prompts = prompts_of(2)
    with bench.client(repairs=1) as client:
        first, second = client.decide(prompts)
        record = {row["key"]: row for row in client.records()}[first.key]
        assert (client.spent.answers, client.spent.repairs) == (3, 1)
        assert client.spent_usd == pytest.approx(3 * EACH) == first.cost + second.cost
    assert (first.status, first.tries, second.tries) == ("ok", 1, 0)
    assert first.cost == pytest.approx(2 * EACH)
    (turn,) = record["tries"]
    assert (turn["text"], turn["status"], turn["cost"]) == (BAD, "invalid", pytest.approx(EACH))
    assert turn["problems"] == ["confidence: 85 is not a fraction from 0 to 1"]
    assert record["latency_ns"] == first.latency_ns > turn["latency_ns"] > 0
    assert record["attempts"] == 2
    sent = server.requests[1]["messages"]
    assert sent[:2] == server.requests[0]["messages"]
    assert sent[2:] == [{"role": "assistant", "content": BAD},
                        {"role": "user", "content": REPAIR.format(problems=turn["problems"][0])}]  # fmt: skip
    assert first.key == bench.client(record=False).decide(prompts)[0].key
    assert bench.decide(prompts, record=False) == [first, second]


@pytest.mark.parametrize(
    ("plan", "calls", "status", "tries"),
    [
        ([BAD, BAD, BAD], 3, "invalid", 2),
        ([BAD, Scripted(status=400)], 2, "invalid", 0),  # the relay does not take the turn: as it was
        ([BAD, Scripted(status=500)], 2, "missing", 0),  # nobody knows: asked again next time
        ([BAD, Scripted(BAD, finish_reason="length")], 2, "truncated", 1),
        ([Scripted(BAD, finish_reason="length")], 1, "truncated", 0),
        ([Scripted(message={"refusal": "no"})], 1, "refused", 0),
        ([Scripted(message={"tool_calls": [{"id": "1"}]})], 1, "invalid", 0),
        (["x" * 9000, GOOD], 1, "invalid", 0),  # more than max_tokens can be: not sent back
        (["", GOOD], 2, "ok", 1),
    ],
)
def test_what_is_repaired_and_how_often(bench: Bench, plan: Any, calls: int, status: str, tries: int) -> None:
    server = bench.serve(plan)
    with bench.client(repairs=2, retries=0) as client:
        (decision,) = client.decide(prompts_of(1))
        assert (decision.status, decision.tries, server.calls) == (status, tries, calls)
        assert client.spent.answers == (calls if status != "missing" and tries == calls - 1 else calls - 1)
    if status != "missing":
        assert bench.decide(prompts_of(1), record=False) == [decision]


# samples


def test_samples_are_asked_kept_and_paid_apart(bench: Bench) -> None:
    server = bench.serve(lambda body: GOOD.replace("0.8", f"0.{len(server.requests)}"))
    (prompt,) = prompts_of(1)
    found = [bench.decide([prompt], sample=k)[0] for k in (0, 1, 2, 1)]
    assert [(d.sample, d.signal.confidence) for d in found if d.signal] == [
        (0, 0.1), (1, 0.2), (2, 0.3), (1, 0.2),
    ]  # fmt: skip
    assert (server.calls, len({d.key for d in found})) == (3, 3)
    assert len({str(body) for body in server.requests}) == 1


# the way of asking is found once


def test_the_ladder_is_climbed_down_once(bench: Bench) -> None:
    def answer(body: dict[str, Any]) -> Scripted:
        kind = body.get("response_format", {}).get("type")
        return Scripted("unknown response_format", status=400) if kind == "json_schema" else Scripted(GOOD)

    server = bench.serve(answer)
    first = bench.decide(prompts_of(3), response_format=None, concurrency=3)
    kinds = [body["response_format"]["type"] for body in server.requests]
    assert kinds == ["json_schema"] + ["json_object"] * 3
    with bench.client(record=False, response_format=None) as client:
        assert client.decide(prompts_of(3)) == first
        assert client.describe()["response_format"] == "json_object"
    assert bench.decide(prompts_of(3), record=False) == first  # the same key as when it is given
    with bench.client(record=False, response_format="text") as client, pytest.raises(CacheMiss):
        client.decide(prompts_of(1))


# the table of models


def test_the_users_table_wins_model_by_model(bench: Bench, tmp_path: Path) -> None:
    mine = tmp_path / "mine.toml"
    mine.write_text(
        '["house-model"]\n'
        'price = {input = 1, output = 2.5, cached = 0.1, source = "bill", date = "2026-10-01"}\n'
        'cutoffs = [{date = "2029-10-04", source = "vendor", read = "2026-10-01"}]\n["gpt-4.1"]\n'
    )
    for options in ({"models": mine}, {}):
        price = prices.price_of("house-model", **options)  # type: ignore[arg-type]
        assert price == models.Price(1.0, 2.5, 0.1, "bill", "2026-10-01")
        assert prices.price_of("gpt-4.1", **options) is None  # type: ignore[arg-type]
        assert prices.price_of("deepseek-v3.2", **options) is not None  # type: ignore[arg-type]
        bench.patch.setenv(models.VARIABLE, str(mine))
    edge = cutoffs.cutoff_ns("house-model") or 0
    with bench.client(record=False, model="house-model") as client:
        said = client.describe()
    assert (said["cutoff_ns"], said["cutoff_margin_days"]) == (edge, 90)
    assert said["cutoffs"] == [{"date": "2029-10-04", "source": "vendor", "read": "2026-10-01"}]
    assert said["price"] == {"input": 1.0, "output": 2.5, "cached": 0.1, "source": "bill",
                             "date": "2026-10-01"}  # fmt: skip
    bench.serve()
    assert bench.decide(prompts_of(1), model="house-model")[0].in_sample == 1  # 2030-01-01, days before it


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[", "not TOML"), ("a = 1", "a: a model has"), ("[a]\nprise = 1", "a: a model has"),
        ('[a]\nprice = {input = 1, output = 2, source = "s"}', "a: price needs date"),
        ('[a]\nprice = {input = -1, output = 2, source = "s", date = "2026-01-01"}', "price input=-1"),
        ('[a]\nprice = {input = nan, output = 2, source = "s", date = "2026-01-01"}', "price input=nan"),
        ('[a]\nprice = {input = 1, output = 2, source = "s", date = "May"}', "price date=May"),
        ('[a]\ncutoffs = [{date = "2026-13-01", source = "s", read = "2026-01-01"}]', "date=2026-13-01"),
        ('[a]\ncutoffs = "2026"', "must be a list"),
    ],
)  # fmt: skip
def test_a_bad_table_is_refused_with_the_row(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "m.toml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=says) as info:
        models.table(path)
    assert str(path) in str(info.value)
    with pytest.raises(ConfigError, match="give the path"):
        models.table(tmp_path / "absent.toml")


def test_every_bundled_row_is_dated_and_sourced() -> None:
    rows = models.table()
    assert {"deepseek-v3.2", "gpt-4.1", "gemini-2.5-flash", "claude-sonnet-4.5"} <= set(prices.priced())
    claims = [claim for row in rows.values() for claim in row.cutoffs]
    assert all(row.cutoffs for row in rows.values())
    assert all(claim.source and claim.date <= claim.read for claim in claims)
    assert all(row.price.source and row.price.date for row in rows.values() if row.price)


def test_an_unknown_price_is_refused_when_it_would_spend(bench: Bench) -> None:
    bench.serve([told(GOOD)])
    for mode in ("record", "refresh", "live"):
        with pytest.raises(ConfigError, match=r"no price is known for 'new'.*price_in and price_out.*models"):
            bench.client(model="new", mode=mode)
    assert bench.decide(prompts_of(1), model="new", price_in=1, price_out=2)[0].cost == pytest.approx(0.0011)
