"""Ctrl-C and SIGTERM while a recording waits for its relay: real processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from framework.llm.store import Store
from framework.testing.holysheep import HolySheepServer, Scripted

ROOT = Path(__file__).parent.parent
PROGRAM = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs start with it ignored
from framework.cli import main
sys.exit(main(sys.argv[1:]))
"""
pytestmark = pytest.mark.skipif(os.name == "nt", reason="signals are sent the POSIX way")


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM], ids=lambda s: s.name)
@pytest.mark.parametrize("healthy", [0, 3])
def test_a_signal_ends_a_recording_at_once(tmp_path: Path, sent: signal.Signals, healthy: int) -> None:
    """Exit 130 in less than two seconds while questions hang; what was answered is kept."""
    hanging = threading.Semaphore(0)

    def answer(body: object) -> Scripted:
        if len(server.requests) <= healthy:
            return Scripted()
        hanging.release()
        return Scripted(hang=True)

    command = [sys.executable, "-c", PROGRAM, "backtest", str(ROOT / "strategies" / "regime_trader.py"),
               "--from", "2019-01-01", "--to", "2019-01-06", "--record",
               "--out", str(tmp_path / "out")]  # fmt: skip
    with HolySheepServer(answer) as server:
        # uncompiled: the questions come before the engine, which would have to be compiled first
        own = {"SHEEPFOLD_CACHE": str(tmp_path / "c"), "NUMBA_DISABLE_JIT": "1"}
        env = {**os.environ, **server.environment, **own}
        run = subprocess.Popen(command, cwd=ROOT, env=env, stderr=subprocess.PIPE, text=True)
        try:
            for _ in range(4 if healthy else 1):  # the first one alone: how the endpoint can be asked
                assert hanging.acquire(timeout=60), run.stderr
            start = time.perf_counter()
            run.send_signal(sent)
            _, said = run.communicate(timeout=20)
            taken = time.perf_counter() - start
        finally:
            run.kill()
            run.wait()
    plan, last = said.splitlines()
    assert (run.returncode, last) == (130, "sheepfold: interrupted")
    assert "0 cached" in plan
    assert taken < 6.0  # 2 s are promised on a machine that does nothing else; the answer hangs for ever
    assert not (tmp_path / "out").exists()
    with Store(tmp_path / "c") as store:
        keys = store.keys()
        answered = [key for key in keys if not key.startswith("rung:")]
        assert len(answered) == healthy
