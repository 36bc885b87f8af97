"""Live: one question at a time, nothing raises, each answer is in the journal before it is returned.

And what a client does where the machine fails it: no key, no relay, no disk, somebody else's folder.
"""

from __future__ import annotations

import json
import os
import pickle
import resource
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from framework.errors import CacheMiss, ConfigError, DataError
from framework.llm.cassette import write_cassette
from framework.llm.journal import Journal, read_journal
from framework.llm.replay import CassetteAnalyst
from framework.testing.holysheep import Scripted
from tests.llm_bench import GOOD, Bench, bench, no_socket, prompts_of
from tests.llm_workers import CONTEXT, LIMIT, Relay, record, start, stored

__all__ = ["bench", "no_socket"]  # fixtures


def test_a_live_day_is_journalled_and_replays(bench: Bench, tmp_path: Path) -> None:
    server = bench.serve([GOOD, Scripted(status=500), "nonsense", GOOD])
    prompts, path = prompts_of(4), tmp_path / "day.jsonl"
    with bench.client(mode="live", journal=path, retries=0, concurrency=4) as client:
        day = [client.decide([prompt])[0] for prompt in prompts]
        assert [d.status for d in day] == ["ok", "missing", "invalid", "ok"]
        assert [json.loads(line)["key"] for line in path.read_text().splitlines()] == [
            day[k].key for k in (0, 2, 3)
        ]
        with pytest.raises(DataError, match="another run writes"):
            Journal(path)
    server.close()
    bench.servers.clear()
    again = CassetteAnalyst(write_cassette(tmp_path / "day.gz", read_journal(path)), strict=False)
    replayed = again.decide(prompts)
    assert [replayed[k] for k in (0, 2, 3)] == [day[k] for k in (0, 2, 3)]
    with bench.client(mode="live", journal=path, retries=0) as client:  # the relay is gone, the day goes on
        (decision,) = client.decide(prompts_of(5)[4:])
        assert (decision.status, client.spent_usd) == ("missing", 0.0)
        assert client.decide(prompts[:1]) == day[:1]  # known: not asked, and not written twice
    assert len(read_journal(path)) == 3


@pytest.mark.parametrize("status", [401, 402, 404])
def test_live_never_raises(bench: Bench, status: int) -> None:
    bench.serve([Scripted(status=status), GOOD])
    with bench.client(mode="live", budget=1.0) as client:
        first, second = client.decide(prompts_of(2))
        assert (first.status, second.status) == ("missing", "ok")
        assert f"HTTP {status}" in first.problems[0]
    with bench.client(mode="live", budget=0) as client:
        assert "budget of $0.0000 is used up" in client.decide(prompts_of(3))[2].problems[0]


def test_a_torn_line_is_dropped_and_an_altered_one_refused(bench: Bench, tmp_path: Path) -> None:
    bench.serve()
    path = tmp_path / "j.jsonl"
    with bench.client(mode="live", journal=path) as client:
        client.decide(prompts_of(2))
    whole = path.read_bytes()
    for cut in (1, 100, len(whole.splitlines()[1])):
        path.write_bytes(whole[:-cut])
        assert len(read_journal(path)) == 1
        journal = Journal(path)
        journal.append(json.loads(whole.splitlines()[1]))
        journal.append(json.loads(whole.splitlines()[0]))
        journal.close()
        assert path.read_bytes() == whole
    path.write_bytes(whole.replace(b'"attempts":1', b'"attempts":2', 1))
    with pytest.raises(DataError, match=r"j\.jsonl, line 1: its checksum differs"):
        Journal(path)
    with pytest.raises(DataError, match="cannot be written"):
        Journal(tmp_path / "no" / "folder.jsonl")
    with pytest.raises(ConfigError, match="journal is for mode='live'"):
        bench.client(journal=path)


def test_workers_get_records_and_nothing_that_could_ask(bench: Bench, request: pytest.FixtureRequest) -> None:
    server = bench.serve([GOOD, Scripted(status=400), "no"])
    prompts = prompts_of(3)
    with bench.client(retries=0) as client:
        decisions = client.decide(prompts)
        analyst = client.recorded(prompts)
        with pytest.raises(CacheMiss, match="1 of 4"):
            client.recorded(prompts_of(4))
        described, records = client.describe(), client.records()
    packed = pickle.dumps(analyst)
    assert server.key.encode() not in packed
    assert str(bench.store).encode() not in packed
    assert server.url.encode() not in packed
    bench.patch.delenv("HOLYSHEEP_API_KEY")
    request.getfixturevalue("no_socket")
    worker = pickle.loads(packed)
    assert worker.decide(prompts) == decisions
    assert (worker.describe(), worker.records()) == (described, records)
    assert worker.name == "HolySheep deepseek-v3.2"
    with pytest.raises(CacheMiss, match="not among the 2 that were recorded"):
        worker.decide(prompts_of(4))


# the machine fails


def test_no_key_no_relay(bench: Bench) -> None:
    with pytest.raises(ConfigError, match="HOLYSHEEP_API_KEY is not set"):
        bench.client(mode="live")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        bench.patch.setenv("HOLYSHEEP_BASE_URL", f"http://127.0.0.1:{free.getsockname()[1]}/v1")
    bench.patch.setenv("HOLYSHEEP_API_KEY", "k" * 20)
    with bench.client(response_format=None, retries=0, concurrency=4, budget=1.0) as client:
        decisions = client.decide(prompts_of(12))
        assert {d.status for d in decisions} == {"missing"}
        assert "no answer: ConnectError" in decisions[0].problems[0]
        assert client.stopped.startswith("5 questions in a row got no answer")
        assert client.spent_usd == 0.0


def _full(environment: dict[str, str], store: str, count: int, options: dict[str, Any], out: Any) -> None:
    """Record on a disk that gets full: no file may grow beyond a size."""
    hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    resource.setrlimit(resource.RLIMIT_FSIZE, (500_000, hard))
    record(environment, store, count, options, out)


def test_a_full_disk_stops_the_recording_and_keeps_what_it_has(tmp_path: Path) -> None:
    out = CONTEXT.Queue()
    with Relay() as relay:
        asked = (relay.server.environment, str(tmp_path / "s"), 40, {"concurrency": 4})
        worker = CONTEXT.Process(target=_full, args=(*asked, out), daemon=True)
        worker.start()
        paid, error, _ = out.get(timeout=LIMIT)
        worker.join(LIMIT)
        kept = stored(tmp_path / "s")
        assert (error, paid) == ("DataError", relay.total)
        assert 0 < len(kept) < 40
        assert relay.total <= len(kept) + 4  # what was in flight then
        start(relay, tmp_path / "s", 40, out)
        assert out.get(timeout=LIMIT)[1:] == ("", ["ok"] * 40)
        assert all(relay.asked[text] == 1 for text in kept)


def test_another_users_store_is_not_used(bench: Bench, tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can make a folder of another user")
    server = bench.serve()
    theirs = tmp_path / "theirs"
    theirs.mkdir(mode=0o777)
    os.chown(theirs, 12345, 12345)
    for mode in ("replay", "record"):
        for budget in (None, 1.0):
            with pytest.raises(ConfigError, match="another user"):
                bench.client(mode=mode, store=theirs, budget=budget).decide(prompts_of(1))
    assert server.calls == 0
    assert list(theirs.iterdir()) == []


def test_replay_imports_nothing_that_could_ask(bench: Bench) -> None:
    bench.serve()
    bench.decide(prompts_of(1))
    program = (
        "import sys\nfrom framework.llm.client import HolySheep\nfrom tests.llm_bench import prompts_of\n"
        "from framework.llm.record import key_of\n"
        f"client = HolySheep(store={str(bench.store)!r}, response_format='json_object')\n"
        "assert client.decide(prompts_of(1))[0].status == 'ok'\n"
        "assert 'httpx' not in sys.modules and 'framework.llm.sender' not in sys.modules\n"
    )
    environment = {name: value for name, value in os.environ.items() if name != "HOLYSHEEP_API_KEY"}
    subprocess.run([sys.executable, "-B", "-c", program], check=True, env=environment)
