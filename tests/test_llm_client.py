"""The client against a real HTTP server on this machine: what is asked, paid, kept and replayed."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from framework.errors import CacheMiss, DataError
from framework.llm import cutoffs, prices
from framework.llm.decision import Decision, Prompt, signal_rows
from framework.llm.record import canonical, key_of
from framework.llm.store import Store
from framework.testing.holysheep import Scripted
from tests.llm_bench import GOOD, Bench, bench, no_socket, prompts_of

__all__ = ["bench", "no_socket"]  # fixtures


def test_recorded_once_and_replayed_without_a_socket(bench: Bench, request: pytest.FixtureRequest) -> None:
    server, prompts = bench.serve(), prompts_of(6)
    first = bench.decide(prompts)
    assert server.calls == 6
    assert {d.status for d in first} == {"ok"}
    assert all(d.latency_ns > 0 and d.arrival_ts == d.ts + d.latency_ns for d in first)
    assert bench.decide(prompts) == first
    assert server.calls == 6
    server.close()
    bench.servers.clear()
    bench.patch.delenv("HOLYSHEEP_API_KEY")
    request.getfixturevalue("no_socket")
    with bench.client(record=False) as client:
        assert client.decide(prompts) == first
        assert client.spent_usd == 0.0


def test_what_is_sent(bench: Bench) -> None:
    server = bench.serve()
    (prompt,) = prompts_of(1)
    bench.decide([prompt], temperature=0, max_tokens=99)
    assert server.requests == [
        {
            "model": "deepseek-v3.2",
            "messages": [
                {"role": "system", "content": prompt.system},
                {"role": "user", "content": prompt.text},
            ],
            "temperature": 0.0,
            "max_tokens": 99,
            "response_format": {"type": "json_object"},
        }
    ]


def test_equal_prompts_are_paid_once_and_booked_each(bench: Bench) -> None:
    server = bench.serve([GOOD])
    (prompt,) = prompts_of(1)
    later = Prompt(prompt.ts + 5, 1, prompt.brief, prompt.text, prompt.system)
    with bench.client() as client:
        a, b, c = client.decide([prompt, later, prompt])
        assert server.calls == 1
        assert a == c
        assert (b.ts, b.instrument, b.latency_ns, b.cost) == (prompt.ts + 5, 1, a.latency_ns, a.cost)
        assert client.spent_usd == a.cost > 0.0
        assert len(client.records()) == 1


def test_a_key_alone_never_spends(bench: Bench, no_socket: None) -> None:
    bench.patch.setenv("HOLYSHEEP_API_KEY", "k" * 20)
    prompts = prompts_of(3)
    for options in ({}, {"store": None}):
        with bench.client(**({"record": False} | options)) as client:
            with pytest.raises(CacheMiss, match=r"3 of 3 decisions.*2030-01-01 02:00.*--record") as info:
                client.decide(prompts)
            assert info.value.exit_code == 4
            assert client.decide([]) == []
    assert not bench.store.exists()


def test_only_what_is_missing_is_asked(bench: Bench) -> None:
    server, prompts = bench.serve(), prompts_of(5)
    bench.decide(prompts[:3])
    bench.decide(prompts)
    assert server.calls == 5
    with bench.client(record=False) as client, pytest.raises(CacheMiss, match="1 of 6"):
        client.decide(prompts_of(6))


def test_refresh_asks_again_once(bench: Bench) -> None:
    server = bench.serve(lambda body: GOOD.replace("0.8", f"0.{len(server.requests)}"))
    prompts = prompts_of(1)
    assert bench.decide(prompts)[0].signal.confidence == 0.1  # type: ignore[union-attr]
    with bench.client(mode="refresh") as client:
        again = [client.decide(prompts)[0].signal for _ in range(3)]
    assert [one.confidence for one in again if one] == [0.2] * 3
    assert server.calls == 2
    assert bench.decide(prompts)[0].signal.confidence == 0.2  # type: ignore[union-attr]


def test_a_damaged_row_is_an_error_and_refresh_heals_it(bench: Bench) -> None:
    bench.serve()
    prompts = prompts_of(1)
    key = bench.decide(prompts)[0].key
    with Store(bench.store) as store:
        good = store.get(key) or ""
        store.set(key, good.replace("deepseek", "deepfake"))
    with pytest.raises(DataError, match="--refresh"):
        bench.decide(prompts)
    assert bench.decide(prompts, mode="refresh")[0].status == "ok"
    assert bench.decide(prompts, record=False)[0].status == "ok"


def test_many_in_flight_keep_their_order(bench: Bench) -> None:
    gate = threading.Barrier(4, timeout=20)

    def answer(body: dict[str, Any]) -> Scripted:
        gate.wait()  # four at once, or nobody gets through
        return Scripted()

    server, prompts = bench.serve(answer), prompts_of(16)
    seen: list[tuple[int, int]] = []
    with bench.client(concurrency=4) as client:
        client.progress = lambda done, asked: seen.append((done, asked))
        together = client.decide(prompts)
    assert server.calls == 16
    assert seen == [(n, 16) for n in range(1, 17)]
    assert [d.ts for d in together] == [p.ts for p in prompts]
    assert together == bench.decide(prompts, record=False)


# keys and costs


def test_key_is_what_is_sent_and_nothing_else(bench: Bench) -> None:
    (prompt,) = prompts_of(1)

    def key(**options: Any) -> str:
        return key_of(bench.client(**({"record": False} | options)).request(prompt))

    base = key()
    assert base == key(timeout=1.0, retries=0, price_in=1.0, store="elsewhere") == key(temperature=0.3)
    assert key(temperature=0) == key(temperature=0.0)
    others = [key(temperature=0.31), key(max_tokens=801), key(model="gpt-4.1")]
    bench.patch.setenv("HOLYSHEEP_API_KEY", "another-key-0000")
    assert key() == base
    for url in ("http://127.0.0.1:1111/v1", "http://127.0.0.1:2222/v1/"):
        bench.patch.setenv("HOLYSHEEP_BASE_URL", url)
        others.append(key())
    assert others[-1] == others[-2]
    bench.patch.setenv("HOLYSHEEP_BASE_URL", "https://api.holysheep.ai/v1/")
    assert key() == base
    assert len({base, *others}) == 5
    text = canonical(bench.client(record=False).request(prompt))
    assert "another-key" not in text
    assert "1111" not in text


def test_key_survives_processes_and_hash_seeds(bench: Bench) -> None:
    (prompt,) = prompts_of(1)
    program = (
        "from tests.llm_bench import prompts_of\nfrom framework.llm.client import HolySheep\n"
        "from framework.llm.record import key_of\nclient = HolySheep(response_format='json_object')\n"
        "print(key_of(client.request(prompts_of(1)[0])))"
    )
    seen = {
        subprocess.run([sys.executable, "-B", "-c", program], capture_output=True, text=True, check=True,
                       env={"PYTHONHASHSEED": seed, "PATH": ""}).stdout.strip()
        for seed in ("1", "2")
    }  # fmt: skip
    assert seen == {key_of(bench.client(record=False).request(prompt))}


def test_cost_is_from_usage_and_the_price_table(bench: Bench) -> None:
    usage = {"prompt_tokens": 1000, "completion_tokens": 100, "prompt_tokens_details": {"cached_tokens": 400}}
    bench.serve([Scripted(GOOD, usage=usage)] * 2 + [Scripted(GOOD, usage=None)])
    prompts = prompts_of(3)
    assert bench.decide(prompts[:1])[0].cost == pytest.approx((1000 * 0.14 + 100 * 0.42) / 1e6)
    assert bench.decide(prompts[1:2], price_in=10, price_out=0)[0].cost == pytest.approx(0.01)
    with bench.client() as client:
        assert client.decide(prompts[2:])[0].cost > 800 * 0.42e-6
        assert client.records()[0]["cost"]["estimated"] is True
    assert bench.decide(prompts[:1], record=False, price_in=99, price_out=99)[0].cost == pytest.approx(
        0.000182
    )


@pytest.mark.parametrize("usage", [{}, {"prompt_tokens": -5, "completion_tokens": 1}, {"prompt_tokens": True},
                                   {"prompt_tokens": "7", "completion_tokens": 1},
                                   {"prompt_tokens": 10**12}])  # fmt: skip
def test_odd_usage_is_charged_at_the_worst_case(usage: dict[str, Any]) -> None:
    price = prices.Price(1.0, 2.0)
    assert prices.cost_of(price, usage, 1000, 800) == prices.cost_of(price, None, 1000, 800)
    assert prices.cost_of(price, usage, 1000, 800).usd == pytest.approx((501 + 1600) / 1e6)


def test_cached_tokens_have_their_own_price() -> None:
    price, usage = prices.Price(1.0, 0.0, cached=0.1), {"prompt_tokens": 100, "completion_tokens": 1}
    whole = prices.cost_of(price, usage | {"prompt_tokens_details": {"cached_tokens": 900}}, 0, 0)
    assert whole.usd == pytest.approx(100 * 0.1 / 1e6)


def test_in_sample_is_closed_by_default() -> None:
    edge = cutoffs.cutoff_ns("deepseek-v3.2")
    assert edge is not None
    assert (cutoffs.in_sample("deepseek-v3.2", edge - 1), cutoffs.in_sample("deepseek-v3.2", edge)) == (1, 0)
    assert str(np.datetime64(edge, "ns"))[:10] == "2025-12-29"
    assert cutoffs.in_sample("nobody-knows", 2**61) == 1


def test_what_came_back_is_kept(bench: Bench) -> None:
    extra = {"latency_ms": 31.5, "service_tier": "x"}
    usage = {"prompt_tokens": 5, "completion_tokens": 6, "cost_usd": 0.1}
    message = {"reasoning_content": "because"}
    bench.serve([Scripted(GOOD, model="deepseek-v3.2-0921", envelope=extra, usage=usage, message=message)])
    with bench.client() as client:
        client.decide(prompts_of(1))
        (record,) = client.records()
    reply = record["reply"]
    assert (reply["model"], reply["fingerprint"]) == ("deepseek-v3.2-0921", "fp_loopback")
    assert reply["usage"] == usage
    assert extra.items() <= reply["extra"].items()
    assert reply["extra"]["message"] == message
    assert record["request"]["body"]["model"] == "deepseek-v3.2"


def test_describe_pins_what_made_the_decisions(bench: Bench) -> None:
    described = bench.client(record=False).describe()
    assert described["price"]["source"].startswith("holysheep.ai articles")
    assert (described["model"], described["stand_in"]) == ("deepseek-v3.2", False)
    assert described["prompt"] == "sheepfold-brief v1"
    assert json.loads(json.dumps(described)) == described


def test_decisions_become_rows(bench: Bench) -> None:
    bench.serve([GOOD, Scripted(status=500), "no", Scripted(status=500)])
    decisions = bench.decide(prompts_of(3), retries=0)
    assert [Decision.from_dict(json.loads(json.dumps(d.to_dict()))) for d in decisions] == decisions
    rows = signal_rows(decisions[::-1])
    assert rows["id"].tolist() == [2, 1, 0]
    assert rows["status"].tolist() == [0, 4, 1]
    assert rows["direction"].tolist() == [1, 0, 0]
    assert rows["arrival_ts"].tolist() == [d.arrival_ts for d in decisions]
    assert np.isnan(rows["stop"]).tolist() == [False, True, True]
    assert rows["risk_reward"][0] == 2.0


def test_light_imports() -> None:
    program = (
        "import sys\nimport framework.llm\n"
        "from framework.llm import Brief, HolySheep, Prompt, Rules, make_brief\n"
        "heavy = {'pydantic', 'httpx', 'diskcache', 'pandas', 'matplotlib', 'polars'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-B", "-c", program], check=True, cwd=Path.cwd())
