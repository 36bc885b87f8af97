"""The short form of tests/kill_saves.py: a few kills while a result is saved, a few damaged folders."""

from __future__ import annotations

from pathlib import Path

from tests import kill_saves


def test_a_killed_save_leaves_the_old_or_the_new_result(tmp_path: Path, warm: None, seed: int) -> None:
    print(kill_saves.run(tmp_path, kills=8, mutations=60, seed=seed, complete_every=4))
