"""The Tardis key is shown nowhere and stored nowhere, whatever a service echoes and wherever it came from."""

from __future__ import annotations

import json
import logging
import traceback
from pathlib import Path
from typing import Any

import pytest

from framework.cli import main as sheepfold
from framework.data import instrument
from framework.data.metadata import ask
from framework.errors import VenueError
from framework.llm.redact import blot
from tests.tardis_bench import FILES, RANGE, Bench, Fault, bench, dataset
from tests.test_llm_secrets import KEY, everything_under, holds_key

__all__ = ["bench"]  # fixture

ECHO = {"X-Echo": f"Bearer {KEY}", "Location": f"https://example.com/{KEY}"}


def faults() -> list[Fault]:
    """Answers that hold the key: in a body, in JSON, in a header, in a redirect."""
    return [
        Fault("*/2024/08/04/*", 1, 503, ECHO, f"bad key {KEY}"),
        Fault("*/2024/08/02/*", -1, 404, ECHO, f"no {KEY}"),
        Fault("*/2024/08/03/*", -1, 302, {"Location": f"http://example.com/{KEY}"}),
        Fault("*/2024/07/31/*", 1, 200, ECHO, body=f"key {KEY}".encode()),
        Fault("*/instruments/*", -1, 403, ECHO, f"bad key {KEY}"),
    ]


@pytest.mark.parametrize("how", ["environment", "argument"])
def test_the_key_is_shown_nowhere(
    bench: Bench,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
    how: str,
) -> None:
    caplog.set_level(logging.DEBUG)
    server = bench.serve(key=KEY, faults=faults())
    options: dict[str, Any] = {}
    if how == "argument":
        bench.patch.setenv("TARDIS_API_KEY", "another-key-123")
        options["key"] = KEY
    done = bench.get(**options)
    assert {file.wanted.date for file in done.files} == {"2024-07-31", "2024-08-01", "2024-08-04"}
    said = [repr(done), repr(done.failures), *done.problems(), *bench.said, repr(vars(done))]
    assert any("bad key ***" in words for words in said)
    with pytest.raises(VenueError) as info:
        ask("instruments/binance/BTCUSDT", options.get("key"))
    trace = traceback.TracebackException.from_exception(info.value, capture_locals=True)
    said += [repr(frame.locals) for frame in trace.stack if frame.filename != __file__] + [str(info.value)]
    if how == "environment":
        words = ["data", "download", "binance", "BTCUSDT", "trades", *RANGE, "--json", "--debug"]
        assert sheepfold(words) == 4
        assert sheepfold(["data", "info", "binance", "BTCUSDT", "--debug"]) == 0
    shown = capsys.readouterr()
    said += [shown.out, shown.err, caplog.text, json.dumps([list(one) for one in server.requests])]
    said.append(everything_under(tmp_path))
    assert "X-Echo" in caplog.text, "the logs of the HTTP library are there"
    assert len(said[-1]) > 1_000
    assert not [text[:300] for text in said if holds_key(text)]
    assert all(KEY not in request.path for request in server.requests)


def test_a_key_given_as_an_argument_is_known_to_the_blotter(bench: Bench) -> None:
    bench.serve(key="argument-key-0815")
    bench.patch.delenv("TARDIS_API_KEY")
    assert bench.get(key="argument-key-0815", days=("2024-08-02", "2024-08-03")).complete
    assert blot("it is argument-key-0815.") == "it is ***."


def test_metadata_sends_the_key_to_its_own_host_only(bench: Bench) -> None:
    other = bench.serve()
    away = {"Location": f"{other.url}/instruments/binance/BTCUSDT"}
    server = bench.serve(faults=[Fault("*/instruments/*", -1, 302, away)])
    assert instrument("binance", "BTCUSDT").tick_size == 0.01  # refused there: the built-in rules
    assert [one.key for one in server.requests] == [True]
    assert [one.key for one in other.requests] == [False]


def test_the_file_is_what_the_server_sent_and_private(bench: Bench) -> None:
    bench.serve()
    bench.get(days=("2024-08-01", "2024-08-02"))
    assert bench.found() == {f"{dataset('2024-08-01')}.csv.gz": FILES[dataset("2024-08-01")]}
    for folder in ("store", "store/_csv", "store/_meta"):
        assert (bench.place / folder).stat().st_mode & 0o077 == 0
