"""The benchmark of decisions, small: its files are what they say, its questions reach the server once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks import bench_llm, llm_contrast, llm_made
from benchmarks.peers import chat
from framework.llm.columns import columns

COUNT = 20


def test_cassette_and_store_hold_the_same_decisions(tmp_path: Path) -> None:
    llm_made.make(tmp_path, COUNT)
    read = [columns(tmp_path / name, instruments=(llm_made.WHAT,)) for name in bench_llm.SOURCES.values()]
    assert len(read[0]) == COUNT
    assert np.isin([-1, 0, 1], read[0]["direction"]).all()
    assert [rows.tobytes() for rows in read] == [read[0].tobytes()] * len(read)


def test_ours_asks_once_and_never_hands_out_half_a_reply(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(llm_contrast, "THINKS", 0.05)
    monkeypatch.setattr(chat, "HITS", 3)
    for name in ("HOLYSHEEP_API_KEY", "HOLYSHEEP_BASE_URL"):
        monkeypatch.setenv(name, "")  # and so restored
    told = llm_contrast.ours()
    assert (told["calls"], told["paid_calls"]) == (1, 1)
    assert told["cut"] == {"text": None, "status": "truncated"}
    assert told["again"] == {**told["paid"], "spent": 0.0}


def test_a_part_that_fails_is_a_line() -> None:
    failed: dict[str, Any] = {"error": "no"}
    rows = dict.fromkeys((*bench_llm.SOURCES, "question", "sweep", "recording"), failed)
    page = bench_llm.lines({"rows": rows, "contrast": {"ours": failed, "dspy": failed}})
    assert "* sweep: no" in page
    assert not [line for line in page if "met" in line.split()]
