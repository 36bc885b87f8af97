"""`sheepfold probe`: the plan first, then the answers, then the verdict as an exit code."""

from __future__ import annotations

import io
import json
import re
import sys
from pathlib import Path

import pytest

from framework import samples
from framework.cli import main
from tests.llm_bench import Bench, bench, no_socket
from tests.test_probe import planned

__all__ = ["bench", "no_socket"]  # fixtures
STRATEGY = """
from framework import Strategy, market_brief
class Daily(Strategy):
    ask_every = "1d"
    def ask(self, view): return market_brief(view)
    def on_signal(self, signal, broker): pass
"""


def test_the_command_plans_asks_and_replays(
    bench: Bench, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "daily.py"
    file.write_text(STRATEGY)
    asked = ["probe", str(file), "--from", "2018-06-01", "--to", "2018-08-01", "--model", "deepseek-v3.2",
             "--tests", "masked,samples,recall", "--limit", "4", "--samples", "2"]  # fmt: skip
    server = bench.serve(planned(samples.load("btcusd-1h"), remembers=True))
    assert main(asked) == 4  # replay is the default, and nothing is there
    assert "never recorded" in capsys.readouterr().err
    assert main([*asked, "--record", "--budget", "0.001"]) == 4
    assert "the budget is $0.0010" in capsys.readouterr().err
    assert server.calls == 0
    assert main([*asked, "--record"]) == 5
    told = capsys.readouterr()
    assert re.search(r"probe: 16 prompts, 16 of them different, 0 cached, 16 to ask, at most \$0", told.err)
    assert "REMEMBERS (leak score 1.00)" in told.out
    assert "same direction in 100 % of 2 samples" in told.out
    kinds = {body["response_format"]["type"] for body in server.requests}
    assert kinds == {"json_schema", "json_object"}  # the strict schema is for signals only
    calls = server.calls
    bench.patch.delenv("HOLYSHEEP_API_KEY")
    assert main([*asked, "--json"]) == 5
    told = capsys.readouterr()
    assert server.calls == calls
    found = json.loads(told.out)
    assert (found["verdict"], found["leak"], found["stability"]) == ("REMEMBERS", 1.0, 1.0)
    assert main(["probe", str(file), "--tests", "mask"]) == 2
    assert "did you mean masked" in capsys.readouterr().err


def test_real_money_needs_a_yes(tmp_path: Path, bench: Bench, capsys: pytest.CaptureFixture[str],
                                no_socket: None) -> None:
    file = tmp_path / "daily.py"
    file.write_text(STRATEGY)
    bench.patch.setenv("HOLYSHEEP_API_KEY", "sk-0123456789abcdef")
    bench.patch.setattr(sys, "stdin", io.StringIO("y\n"))  # nobody at a terminal
    assert main(["probe", str(file), "--from", "2018-06-01", "--to", "2018-08-01", "--record",
                 "--model", "deepseek-v3.2", "--limit", "3", "--tests", "masked"]) == 2  # fmt: skip
    assert "add --yes to ask" in capsys.readouterr().err
