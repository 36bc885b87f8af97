"""The short form of tests/kill_download.py: a few kills while files are downloaded."""

from __future__ import annotations

from pathlib import Path

from tests import kill_download


def test_a_killed_download_leaves_whole_files_only(tmp_path: Path, seed: int) -> None:
    print(kill_download.run(tmp_path, kills=2, seed=seed))
