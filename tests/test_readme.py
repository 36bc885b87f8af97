"""Every command and code block of the README runs, in its order, in an empty folder."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from framework.cli import main
from framework.testing import HolySheepServer, TardisServer

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
COMMANDS = [
    line
    for kind, text in BLOCKS
    if kind == "sh"
    for line in text.replace("\\\n", " ").splitlines()
    if line.strip()
]
OPTION = re.compile(r"(?<![\w-])--[a-z][a-z-]+")
CANDLES = {  # what the README calls them: real files
    "BTCUSDT-1m.csv.gz": "binance-futures_BTCUSDT_1m_2025-05.csv.gz",
    "BTCUSDT-funding.csv.gz": "binance-futures_BTCUSDT_funding_2025.csv.gz",
}


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the shipped strategies and the README's own files."""
    folder = tmp_path_factory.mktemp("readme")
    shutil.copytree(ROOT / "strategies", folder / "strategies", ignore=shutil.ignore_patterns("__pycache__"))
    for kind, text in BLOCKS:
        if kind == "python" and (name := re.match(r"# (\w+\.py)\n", text)):
            (folder / name[1]).write_text(text, encoding="utf-8")
    return folder


def test_the_blocks_are_known() -> None:
    assert {kind for kind, _ in BLOCKS} == {"python", "sh"}
    assert README.count("```") == 2 * len(BLOCKS)
    assert COMMANDS[0] == "pip install -e . && sheepfold backtest strategies/regime_trader.py"
    assert COMMANDS[1] == "pip install -e '.[test]' && pytest"
    assert {command.split()[0] for command in COMMANDS} == {"pip", "sheepfold"}


def test_the_set_up_commands_mean_something() -> None:
    """The pip lines are what `.ci/run` does; here only their words are checked."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["scripts"]["sheepfold"] == "framework.cli:main"
    assert "pytest" in " ".join(project["optional-dependencies"]["test"])
    for command in re.findall(r"pip install[^`\n]*", README):
        words = shlex.split(command.partition("&&")[0])
        assert words[:2] == ["pip", "install"]
        for option, value in zip(words[2::2], words[3::2], strict=True):
            extras = re.fullmatch(r"\.(?:\[(.*)\])?", value)
            assert (ROOT / value).is_file() if option == "-c" else extras, command
            assert not extras or not extras[1] or extras[1] in project["optional-dependencies"]


def test_python_blocks_run_in_order(desk: Path) -> None:
    parts = [text for kind, text in BLOCKS if kind == "python" and not re.match(r"# \w+\.py\n", text)]
    (desk / "walkthrough.py").write_text("\n".join(parts), encoding="utf-8")
    env = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "error"}
    command = [sys.executable, "walkthrough.py"]
    done = subprocess.run(command, cwd=desk, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "fingerprint" in done.stdout
    assert (desk / "results" / "second" / "report.html").is_file()


def test_commands_run_in_order(
    desk: Path,
    warm: None,
    data_dir: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (desk / "candles").mkdir()
    for name, source in CANDLES.items():
        (desk / "candles" / name).symlink_to(data_dir / "candles" / source)
    (desk / "ticks").mkdir()
    for source in (data_dir / "tardis-form").glob("*.csv.gz"):
        (desk / "ticks" / source.name).symlink_to(source)
    monkeypatch.chdir(desk)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setenv("SHEEPFOLD_CACHE", str(desk / "cache"))  # the loopback's answers stay here
    monkeypatch.setenv("SHEEPFOLD_STORE", str(desk / "store"))
    asked = 0
    with HolySheepServer() as server, TardisServer() as tardis:
        for name, value in (server.environment | tardis.environment).items():
            monkeypatch.setenv(name, value)
        for command in COMMANDS[0].split(" && ")[1:] + [c for c in COMMANDS if c.startswith("sheepfold")]:
            assert main(shlex.split(command)[1:]) == 0, f"{command}\n{capsys.readouterr().err}"
            shown = capsys.readouterr()
            if "regime_trader" in command:
                assert "STAND-IN" in shown.out
            if "--replay" in command:
                assert len(server.requests) == asked, command
            asked = len(server.requests)
        assert len(server.requests) > 0


def test_options_and_exit_codes_are_those_of_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["backtest", "--help"]) == 0
    known = set(OPTION.findall(capsys.readouterr().out))
    table = README[README.index("## Options of") : README.index("## Exit codes")]
    assert known - {"--param", "--help"} <= set(OPTION.findall(table)) <= known
    codes = README[README.index("## Exit codes") : README.index("## Limits")]
    assert re.findall(r"^\| (\d+) \|", codes, re.MULTILINE) == ["0", "1", "2", "3", "4", "5", "130"]
