"""The cassette as a file, its tools and commands, and its columns: the answers of a replay, or a refusal."""

from __future__ import annotations

import gzip
import json
import os
import pickle
import subprocess
import sys
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from framework import Result, backtest, samples
from framework.cli import main
from framework.errors import CacheMiss, ConfigError, DataError
from framework.llm import cassette
from framework.llm.cassette import read_cassette, write_cassette
from framework.llm.cassette_file import BLOCK
from framework.llm.columns import columns, records_of
from framework.llm.decision import signal_rows
from framework.llm.record import Record, canonical, seal
from framework.llm.replay import CassetteAnalyst
from framework.llm.store import Store
from strategies.regime_trader import RegimeTrader
from tests.flip_cassette import HERE, campaign, records_for
from tests.llm_bench import Bench, bench, no_socket, prompts_of
from tests.made_result import make
from tests.small import coin, made

__all__ = ["bench", "no_socket"]  # fixtures
PROMPTS = prompts_of(12)
RECORDS = sorted(records_for(PROMPTS), key=lambda row: str(row["key"]))
OTHER = records_for(PROMPTS, temperature=0.0)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return write_cassette(tmp_path / "c.jsonl.gz", RECORDS)


def same(rows: Any, decisions: Any) -> bool:
    return bool(rows.tobytes() == signal_rows(decisions).tobytes())


# ------------------------------------------------------------------------------------------------ columns


def test_columns_are_the_decisions_of_a_replay(file: Path, tmp_path: Path, no_socket: None) -> None:
    """From every source; by time, and for prompts in any order, twice, or at another time."""
    decisions = CassetteAnalyst(file).decide(PROMPTS)
    assert {d.status for d in decisions} == {"ok", "invalid", "truncated", "refused"}
    with Store(tmp_path / "store") as store:
        for row in RECORDS:
            store.set(row["key"], canonical(row))
        store.set("rung:holysheep:deepseek-v3.2", "json_object")
        run = make(cassette=cassette.encode(RECORDS)).save(tmp_path / "run")
        plain = write_cassette(tmp_path / "c.jsonl", RECORDS)
        for source in (file, str(plain), plain.read_bytes(), run, store, store.folder, iter(RECORDS)):
            assert same(columns(source, instruments=HERE), decisions)
    again = [*PROMPTS[::-1], replace(PROMPTS[3], ts=PROMPTS[3].ts + 5, instrument=1)]
    expected = CassetteAnalyst(file).decide(again)
    assert same(columns(file, instruments=HERE, prompts=again), expected)
    assert records_of(file) == RECORDS


def test_what_short_cannot_read_is_judged_as_a_replay_judges_it(tmp_path: Path) -> None:
    """Other rules of reading, a signal that breaks its own, numbers that are whole, earlier turns."""
    changes: list[Record] = [
        {"parser": 0}, {"signal": {"direction": "long"}}, {"tries": [{"usage": {"signal": 1}}]},
        {"stand_in": True},
    ]  # fmt: skip
    odd: list[tuple[str, Any]] = [
        ("confidence", 1), ("confidence", True), ("stop_loss", 105.0), ("regime", "up"),
        ("take_profit", -1.0), ("position_size_pct", 0.0), ("suggested_entry", "100"),
    ]  # fmt: skip
    for field, value in odd:
        changes.append({"signal": {**records_for(PROMPTS)[0]["signal"], field: value}})
    rows = [seal({**records_for(PROMPTS)[0], **change}) for change in changes]
    for row in rows:
        path = write_cassette(tmp_path / "c.jsonl", [row])
        assert same(columns(path, instruments=HERE), CassetteAnalyst(path).decide(PROMPTS[:1])), row
    assert len({columns([row], instruments=HERE)["status"].item() for row in rows}) == 2


def test_columns_enter_a_market(file: Path) -> None:
    market = made("1 1 1 1", what=coin("binance:BTCUSDT"))
    rows = columns(file, instruments=market.instruments)
    assert market.with_signals(rows).signals.tobytes() == rows.tobytes()


def test_columns_refuse_what_they_cannot_place(file: Path) -> None:
    with pytest.raises(DataError, match=r"c\.jsonl\.gz, line 1: is about 'binance:BTCUSDT'; .* only x:Y"):
        columns(file, instruments=["x:Y"])
    with pytest.raises(DataError, match="record 1: was asked through a mask"):
        columns([seal({**RECORDS[0], "masked": {"seed": 1}})], instruments=HERE)
    with pytest.raises(DataError, match="is no time"):
        columns([seal({**RECORDS[0], "latency_ns": -1})], instruments=HERE)
    with pytest.raises(DataError, match="status 'fine' is unknown"):
        columns([seal({**RECORDS[0], "status": "fine"})], instruments=HERE)
    with pytest.raises(DataError, match="empty"):
        columns([], instruments=HERE)
    asked = replace(PROMPTS[5], text=PROMPTS[5].text.replace("price: 100", "price: 101"))
    told = r"c\.jsonl\.gz: .*nearest .*'Current price: 100.*against 'Current price: 101"
    with pytest.raises(CacheMiss, match=told):
        columns(file, instruments=HERE, prompts=[*PROMPTS, asked])


def here(rows: Any, **way: Any) -> Any:
    return columns(rows, instruments=HERE, **way)


@pytest.mark.parametrize("read", [CassetteAnalyst, here])
def test_one_of_several_ways_is_chosen(read: Any) -> None:
    both = [*RECORDS, *OTHER, *records_for(PROMPTS[:2], model="gpt-4.1", response_format={"type": "text"})]
    with pytest.raises(ConfigError, match=r"3 ways; choose one: .*model=gpt-4\.1.*"):
        read(both)
    with pytest.raises(ConfigError, match=r"2 ways; choose one: temperature=0\.3; temperature=0$"):
        read(both, model="deepseek-v3.2")
    with pytest.raises(ConfigError, match=r"no decision of temperature 0\.5"):
        read(both, model="deepseek-v3.2", temperature=0.5)
    with pytest.raises(ConfigError, match=r"temprature: .*did you mean temperature"):
        read(both, temprature=0)
    found = read(both, model="deepseek-v3.2", temperature=0)
    if isinstance(found, CassetteAnalyst):
        assert found.describe()["temperature"] == 0.0
        assert found.decide(PROMPTS) == CassetteAnalyst(OTHER).decide(PROMPTS)
        assert len(read(both, response_format="text").records()) == 2
    else:
        assert same(found, CassetteAnalyst(OTHER).decide(PROMPTS))


# -------------------------------------------------------------------------------------------------- damage


def test_nothing_damaged_is_ever_an_answer() -> None:
    """The short form of `python -m tests.flip_cassette`."""
    seed = int.from_bytes(os.urandom(4))
    counts, wrong = campaign(60, seed)
    assert not wrong
    assert sum(n for name, n in counts.items() if "refused" in name) > 30, f"seed {seed}"


def test_damage_is_refused_with_file_and_line(tmp_path: Path) -> None:
    lines = cassette.encode(RECORDS).splitlines(keepends=True)
    cases = {
        "line 2: its checksum differs": [lines[0], lines[1].replace(b'"attempts":1', b'"attempts":2')],
        "line 2: the key is not that": [lines[0], lines[1].replace(b"Symbol", b"symbol", 1)],
        "line 3: damaged, not ASCII": [*lines[:2], lines[2].replace(b"Symbol", b"S\xffmbol")],
        "line 2: not JSON": [lines[0], pickle.dumps("x", 0).replace(b"\n", b"") + b"\n"],
        "line 2: keys are not sorted": [lines[1], lines[0]],
        "line 1: fields .* another version wrote it": [lines[0].replace(b'"ts":', b'"t":')],
        "damaged after line 1 .*cut off": [lines[0], lines[1][:-1]],
    }
    for says, kept in cases.items():
        for name, data in (("c.jsonl", b"".join(kept)), ("c.jsonl.gz", gzip.compress(b"".join(kept)))):
            (tmp_path / name).write_bytes(data)
            for read in (cassette.verify, read_cassette, CassetteAnalyst,
                         lambda path: columns(path, instruments=HERE)):  # fmt: skip
                with pytest.raises(DataError, match=f"{name}.*{says}"):
                    read(tmp_path / name)


def test_a_gzip_bomb_ends_at_its_first_line(tmp_path: Path) -> None:
    path = tmp_path / "c.jsonl.gz"
    path.write_bytes(gzip.compress(b"0" * (40 * BLOCK)))
    with pytest.raises(DataError, match=r"damaged after line 0 .*too long"):
        cassette.verify(path)
    run = make(cassette=cassette.encode(RECORDS)).save(tmp_path / "run")
    bomb, listed = path.read_bytes(), json.loads((run / "manifest.json").read_text())
    from framework.result_store import digest, to_json

    (run / "cassette.jsonl.gz").write_bytes(bomb)
    listed["files"]["cassette.jsonl.gz"] = sha256(bomb).hexdigest()
    body = {name: value for name, value in listed.items() if name != "sha256"}
    (run / "manifest.json").write_text(to_json({**body, "sha256": digest(body)}))
    with pytest.raises(Exception, match=r"does not hold .* bytes as the manifest says"):
        Result.load(run)


def test_a_runs_folder_has_it_compressed_and_an_old_one_plain(tmp_path: Path) -> None:
    text = cassette.encode(RECORDS)
    run = make(cassette=text).save(tmp_path / "run")
    packed = (run / "cassette.jsonl.gz").read_bytes()
    assert (gzip.decompress(packed), packed[3:8]) == (text, b"\0" * 5)  # no name, no time
    about = json.loads((run / "manifest.json").read_text())
    said = {"sha256": sha256(text).hexdigest(), "bytes": len(text), "records": len(RECORDS)}
    assert about["cassette"] == said
    assert Result.load(run).cassette == text
    from framework.result_store import digest, to_json

    body = {name: value for name, value in about.items() if name not in ("sha256", "cassette")}
    del body["files"]["cassette.jsonl.gz"]
    body["files"]["cassette.jsonl"] = said["sha256"]
    (run / "cassette.jsonl.gz").unlink()
    (run / "cassette.jsonl").write_bytes(text)
    (run / "manifest.json").write_text(to_json({**body, "sha256": digest(body)}))
    assert Result.load(run).cassette == text
    assert read_cassette(run) == RECORDS


# ------------------------------------------------------------------------------------------------ commands


def test_the_commands(file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                      capsys: pytest.CaptureFixture[str]) -> None:  # fmt: skip
    def run(*words: object) -> tuple[int, str]:
        code = main(["cassette", *map(str, words)])
        out, err = capsys.readouterr()
        return code, out + err

    half, both, last = tmp_path / "half.jsonl", tmp_path / "both.jsonl.gz", RECORDS[-1]
    assert run("verify", file) == (0, f"{file}: 12 records, each as it was written\n")
    assert "6 of 12 (50.0%)" in run("show", file)[1]
    plain = cassette.encode(RECORDS)
    assert json.loads(run("show", file, "--json")[1])["sha256"] == sha256(plain).hexdigest()
    cut = run("prune", file, "--from", "2030-01-01 08:00", "--out", half)
    assert cut == (0, f"{half}: 6 of 12 records\n")
    code, said = run("diff", file, half)
    assert (code, said.count("only here\n")) == (5, 7)
    assert "differ in 6 keys: 6 only here" in said
    assert run("merge", half, file, "--out", both)[0] == 0
    assert run("diff", both, file) == (0, "same cassette\n")
    assert both.read_bytes() == file.read_bytes()
    write_cassette(half, [seal({**last, "latency_ns": 7})])
    assert "latency_ns\n" in run("diff", half, file)[1]
    code, said = run("merge", half, file, "--out", tmp_path / "no.jsonl")
    assert (code, "two different records (latency_ns)" in said) == (3, True)
    assert not (tmp_path / "no.jsonl").exists()
    assert run("prune", file, "--key", "zzzzzzzz", "--out", half)[0] == 2
    assert run("prune", file, "--model", "m", "--out", half)[0] == 2
    assert run("prune", file, "--key", last["key"][:12], "--out", half)[0] == 0
    assert read_cassette(half) == [last]
    with Store(tmp_path / "store") as store:
        for row in RECORDS:
            store.set(row["key"], canonical(row))
    assert run("export", "--store", tmp_path / "store", "--out", both)[0] == 0
    assert both.read_bytes() == file.read_bytes()
    assert run("export", "--store", tmp_path / "none", "--out", both)[0] == 2
    assert run("scan", file, half) == (0, "no secret found\n")
    write_cassette(half, [seal({**last, "analyst": "Bearer abcdefghijklmnopqrst"})])
    assert "half.jsonl, line 1: holds what looks like a key (Bear..., 27 characters)" in run("scan", half)[1]
    monkeypatch.setenv("HOLYSHEEP_API_KEY", "deepseek-v3.2")
    code, said = run("scan", file)
    assert (code, said.count("holds the secret of HOLYSHEEP_API_KEY")) == (3, 12)
    code, said = run("prune", file, "--out", half)
    assert (code, "the text holds the secret of HOLYSHEEP_API_KEY" in said) == (2, True)
    half.write_bytes(b"x\n")
    code, said = run("verify", half)
    assert (code, said) == (3, f"sheepfold: error: {half}, line 1: not JSON; copy the cassette again\n")


# ------------------------------------------------------------------------------------- replay is the record

REPLAY = """
import socket, sys
from hashlib import sha256
def refuse(*_, **__): raise SystemExit("a socket was opened")
for name in ("connect", "connect_ex", "bind", "sendto"):
    setattr(socket.socket, name, refuse)
socket.getaddrinfo = refuse
from framework import backtest, samples
from framework.llm.columns import columns
from framework.llm.replay import CassetteAnalyst
from strategies.regime_trader import RegimeTrader
market = samples.load("btcusd-1h").slice("2019-01-01", "2019-01-08")
analyst = CassetteAnalyst(sys.argv[1])
result = backtest(RegimeTrader, market, analyst=analyst)
sums = [sha256(data).hexdigest() for data in (result.cassette, result.decisions.write_csv().encode())]
print(result.fingerprint, *sums)
again = backtest(RegimeTrader, market.with_signals(columns(sys.argv[1], instruments=market.instruments)))
assert again.fills.equals(result.fills)
"""


def test_replay_is_the_recording_in_another_process(bench: Bench, tmp_path: Path) -> None:
    from framework import sweep

    market = samples.load("btcusd-1h").slice("2019-01-01", "2019-01-08")
    server = bench.serve()
    with bench.client() as client:
        paid = backtest(RegimeTrader, market, analyst=client)
    run = paid.save(tmp_path / "run")
    asked = server.calls
    server.close()
    assert asked == paid.decisions.height > 30
    clean = {name: text for name, text in os.environ.items() if "HOLYSHEEP" not in name}
    clean["NUMBA_DISABLE_JIT"] = "1"  # a hundred and seventy bars are not worth compiling for
    told = subprocess.run([sys.executable, "-B", "-c", REPLAY, str(run)], env=clean, text=True, timeout=120,
                          capture_output=True, check=False)  # fmt: skip
    sums = [sha256(data).hexdigest() for data in (paid.cassette, paid.decisions.write_csv().encode())]
    assert told.stdout.split() == [paid.fingerprint, *sums], told.stderr
    one, two = (
        sweep(RegimeTrader, market, min_confidence=[0.5, 0.6, 0.9], analyst=CassetteAnalyst(run), workers=n)
        for n in (1, 2)
    )
    assert one.equals(two)
    assert np.isfinite(one["final_equity"].to_numpy()).all()


def test_a_miss_names_what_the_nearest_record_differs_in(bench: Bench) -> None:
    prompts = prompts_of(2)
    with bench.client(mode="replay") as client, pytest.raises(CacheMiss, match="nothing was recorded at all"):
        client.decide(prompts)
    bench.serve()
    bench.decide(prompts[:1])
    with bench.client(mode="replay") as client, pytest.raises(CacheMiss, match=r"'Time: .* \(recorded\)"):
        client.decide(prompts)
    with bench.client(mode="replay", model="gpt-4.1") as client, pytest.raises(CacheMiss) as info:
        client.decide(prompts[:1])
    assert "differs in model deepseek-v3.2 (recorded) against gpt-4.1 (asked); run with" in str(info.value)
