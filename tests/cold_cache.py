"""Cold against warm: `python -m tests.cold_cache` compiles in an empty folder and compares fingerprints.

Not part of the suite: the compiling takes about half a minute.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parent.parent
CODE = """
import json
from framework import backtest, samples
from tests.test_strategies import SHIPPED
print(json.dumps({cls.__name__: backtest(cls, samples.load(cls.sample)).fingerprint for cls in SHIPPED}))
"""


def fingerprints(cache: str) -> tuple[dict[str, str], float]:
    """Return the fingerprints of the shipped strategies on their samples, and the seconds it took."""
    start = time.monotonic()
    env = {**os.environ, "SHEEPFOLD_CACHE": cache, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-W", "error", "-c", CODE]
    done = subprocess.run(command, env=env, cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(done.stderr)
    return json.loads(done.stdout), time.monotonic() - start


def main() -> int:
    """Compare a cold run with a warm one."""
    with tempfile.TemporaryDirectory() as folder:
        (cold, first), (warm, second) = fingerprints(folder), fingerprints(folder)
    same = "equal" if cold == warm else "DIFFERENT"
    print(f"cold {first:.1f} s, warm {second:.1f} s: {len(cold)} fingerprints {same}")
    return 0 if cold == warm else 1


if __name__ == "__main__":
    sys.exit(main())
