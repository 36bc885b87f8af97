"""The kernels as they are written, where numpy checks every index: the same runs, and none out of bounds."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from framework import replay_orders
from tests.golden import t
from tests.naive import compare
from tests.naive.cases import random_case
from tests.small import FLAT, buy, made, replay

ROOT = Path(__file__).parent.parent
SEEDS = range(120_000, 120_100)


def ended_early() -> str:
    """Fingerprint of a trailing stop that rests after its instrument's last bar, the last in the table."""
    market = made(*[FLAT] * 9) + made(*[FLAT] * 4, id="made:BBB")
    return replay(market, buy(t(1), trail=5.0, instrument="made:BBB")).fingerprint


def fingerprints() -> dict[str, str]:
    """Name of a run to its fingerprint, or to the error that ended it."""
    found = {}
    for seed in SEEDS:
        orders, market, options = compare.frames(random_case(seed))
        try:
            found[str(seed)] = replay_orders(orders, market, **options).fingerprint
        except IndexError as error:
            found[str(seed)] = str(error)
    try:
        found["ended early"] = ended_early()
    except IndexError as error:
        found["ended early"] = str(error)
    return found


def test_no_index_leaves_its_table() -> None:
    """house 5.7: compiled code reads past an array in silence; as written the same run is an IndexError."""
    code = "import json; from tests.test_plain_kernels import fingerprints; print(json.dumps(fingerprints()))"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], cwd=ROOT, capture_output=True, text=True, check=True,
        env={**os.environ, "NUMBA_DISABLE_JIT": "1"}, timeout=120,
    )  # fmt: skip
    plain, here = json.loads(done.stdout), fingerprints()
    assert {name: plain[name] for name in here if plain[name] != here[name]} == {}
