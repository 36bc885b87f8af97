"""Shared fixtures: the folder of real data, and a seed that is printed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """Of `-n auto`: two processes for the whole suite; chosen files run in one, which loads kernels once."""
    return 2 if all(map(os.path.isdir, config.args)) else 0


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """Folder of the real data (SHEEPFOLD_DATA, default ../shared/data); without it skip, in CI fail."""
    folder = Path(os.environ.get("SHEEPFOLD_DATA") or ROOT / ".." / "shared" / "data")
    if not folder.is_absolute():
        folder = ROOT / folder
    if folder.is_dir():
        return folder.resolve()
    reason = f"real data is not there: no folder {folder}; set SHEEPFOLD_DATA"
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    print(reason)
    pytest.skip(reason)


@pytest.fixture
def seed() -> int:
    """Seed of a random test (SHEEPFOLD_SEED, default 20240101), printed so that a failure can be repeated."""
    value = int(os.environ.get("SHEEPFOLD_SEED", "20240101"))
    print(f"seed {value}")
    return value


@pytest.fixture(scope="session")
def warm() -> None:
    """Compile the engine before a test counts lines on stderr or moves the cache."""
    from framework import backtest, samples
    from framework.cli_strategy import load_strategy
    from framework.jit import mark_warm

    backtest(load_strategy(str(ROOT / "strategies" / "ema_cross.py")), samples.load("majors-1d"))
    mark_warm()
