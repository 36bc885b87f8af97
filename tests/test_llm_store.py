"""The store and the cassette: text only, damage is an error, the same bytes everywhere, no secret."""

from __future__ import annotations

import gzip
import os
import pickle
import sqlite3
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from framework.errors import ConfigError, DataError
from framework.llm.cassette import merge, read_cassette, verify, write_cassette
from framework.llm.record import Record, canonical, key_of, request_of, seal
from framework.llm.store import Store, TextDisk, default_folder


class Bomb:
    """Unpickling this makes a folder."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return (os.mkdir, (self.path,))


def _sql(folder: Path, statement: str, *values: Any) -> None:
    connection = sqlite3.connect(folder / "cache.db")
    with connection:
        connection.execute(statement, values)
    connection.close()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    place = tmp_path / "store"
    with Store(place) as store:
        store.set("k", "value")
        store.set("other", "é \n\r\n 中")
    return place


def test_text_comes_back_and_stays(folder: Path) -> None:
    with Store(folder) as store:
        assert store.get("k") == "value"
        assert store.get("other") == "é \n\r\n 中"
        assert store.get("absent") is None
        store.set("k", "new")
        store.set("big", "x" * 3_000_000)
        assert (store.get("k"), len(store.get("big") or ""), store.keys()) == (
            "new",
            3_000_000,
            ["big", "k", "other"],
        )
        store.delete("k")
        assert store.get("k") is None
        assert len(store) == 2
    assert not list(folder.rglob("*.val"))


def test_only_text_goes_in(folder: Path) -> None:
    with Store(folder) as store:
        for value in (b"x", 1, 1.5, None, True, {"a": 1}):
            with pytest.raises(TypeError):
                store._cache.set("v", value)
        for key in (b"x", 1, None, ("a",)):
            with pytest.raises(TypeError):
                store._cache.get(key)


def test_a_planted_pickle_is_refused_and_never_executed(folder: Path, tmp_path: Path) -> None:
    trap = tmp_path / "executed"
    bomb = pickle.dumps(Bomb(str(trap)))
    _sql(folder, "UPDATE Cache SET mode = 4, value = ? WHERE key = 'k'", sqlite3.Binary(bomb))
    (folder / "aa").mkdir()
    (folder / "aa" / "bomb.val").write_bytes(bomb)
    _sql(folder, "UPDATE Cache SET mode = 4, value = NULL, filename = 'aa/bomb.val' WHERE key = 'other'")
    _sql(folder, "INSERT INTO Cache(key, raw, mode, value) VALUES (?, 0, 1, 'x')", sqlite3.Binary(bomb))
    with Store(folder) as store:
        for key in ("k", "other"):
            with pytest.raises(DataError, match="damaged"):
                store.get(key)
        with pytest.raises(DataError, match="damaged"):
            store.keys()
        store.set("k", "asked again")
        assert store.get("k") == "asked again"
    assert not trap.exists()


def test_the_mitigation_of_the_advisory_would_have_executed_it(folder: Path, tmp_path: Path) -> None:
    """The same planted row through diskcache's own JSONDisk: why our Disk exists."""
    import diskcache

    trap = tmp_path / "executed"
    cache = diskcache.Cache(str(tmp_path / "json"), disk=diskcache.JSONDisk)
    cache.set("k", "v")
    cache.close()
    bomb = sqlite3.Binary(pickle.dumps(Bomb(str(trap))))
    _sql(tmp_path / "json", "UPDATE Cache SET mode = 4, value = ?", bomb)
    cache = diskcache.Cache(str(tmp_path / "json"), disk=diskcache.JSONDisk)
    with pytest.raises(TypeError):
        cache.get("k")
    cache.close()
    assert trap.exists()


@pytest.mark.parametrize("mode", [1, 2, 3])
def test_paths_are_never_opened(folder: Path, tmp_path: Path, mode: int) -> None:
    secret = tmp_path / "secret.txt"
    secret.write_text("private")
    _sql(folder, "UPDATE Cache SET mode = ?, filename = '../secret.txt', value = NULL WHERE key = 'k'", mode)
    with Store(folder) as store:
        with pytest.raises(DataError, match="not plain text"):
            store.get("k")
        store.set("k", "fresh")
        assert store.get("k") == "fresh"
    assert secret.read_text() == "private"


def test_a_lost_file_is_damage_and_not_a_miss(folder: Path) -> None:
    _sql(folder, "UPDATE Cache SET mode = 3, filename = 'ab/cd/gone.val', value = NULL WHERE key = 'k'")
    with Store(folder) as store, pytest.raises(DataError, match=r"damaged.*--refresh"):
        store.get("k")


@pytest.mark.parametrize(
    "change",
    [
        "value = substr(value, 1, length(value) - 1)", "value = value || ' '", "value = ''", "value = 5",
        "value = (SELECT value FROM Cache WHERE key = 'other')", "value = NULL", "value = x'00ff'",
        "mode = 0", "raw = 0", "expire_time = 1",
    ],
)  # fmt: skip
def test_an_altered_row_is_damage(folder: Path, change: str) -> None:
    _sql(folder, f"UPDATE Cache SET {change} WHERE key = 'k'")
    with Store(folder) as store:
        with pytest.raises(DataError, match="damaged"):
            store.get("k")
        assert store.get("other") is not None
        store.set("k", "healed")
        assert store.get("k") == "healed"


def test_flipped_bytes_never_give_another_text(folder: Path) -> None:
    database = folder / "cache.db"
    connection = sqlite3.connect(database)
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    whole, outcomes = database.read_bytes(), set()
    for place in range(0, len(whole), 397):
        for left in ("cache.db-wal", "cache.db-shm"):
            (folder / left).unlink(missing_ok=True)
        database.write_bytes(whole[:place] + bytes([whole[place] ^ 0x15]) + whole[place + 1 :])
        try:
            with Store(folder) as store:
                text = store.get("k")
            assert text in ("value", None)
            outcomes.add("read" if text else "miss")
        except DataError:
            outcomes.add("refused")
    assert "read" in outcomes


def test_nothing_is_ever_evicted_whatever_the_file_says(folder: Path) -> None:
    _sql(folder, "UPDATE Settings SET value = 1000 WHERE key = 'size_limit'")
    _sql(folder, "UPDATE Settings SET value = 10 WHERE key = 'cull_limit'")
    _sql(folder, "UPDATE Settings SET value = 'least-recently-stored' WHERE key = 'eviction_policy'")
    with Store(folder) as store:
        cache = store._cache
        assert (cache.eviction_policy, cache.cull_limit, cache.size_limit) == ("none", 0, 2**62)
        assert isinstance(cache.disk, TextDisk)
        for number in range(60):
            store.set(f"n{number}", "x" * 1000)
        assert len(store) == 62


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("get", "x"), ("_disk", "x"), ("_sql", 1), ("_timeout", 0), ("zz", pickle.dumps(1)), (b"get", "x"),
        (1, 1), ("disk_evil", 1), ("sqlite_cache_size; drop table Cache", 1), ("sqlite_mmap_size", None),
        ("sqlite_cache_size", "1; drop table Cache"), ("sqlite_journal_mode", 1), ("count", "x"),
    ],
)  # fmt: skip
def test_a_planted_setting_is_refused(folder: Path, name: Any, value: Any) -> None:
    """Each row of that table becomes an attribute of the cache."""
    _sql(folder, "INSERT OR REPLACE INTO Settings VALUES (?, ?)", name, value)
    with pytest.raises(DataError, match="which this store never wrote; move it away"):
        Store(folder)


def test_private_and_where_it_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = tmp_path / "deep" / "er"
    monkeypatch.setenv("SHEEPFOLD_CACHE", str(place))
    assert default_folder() == place
    place.mkdir(parents=True, mode=0o755)
    with Store() as store:
        store.set("k", "v")
        assert stat.S_IMODE(place.stat().st_mode) == 0o700
        assert stat.S_IMODE((place / "cache.db").stat().st_mode) == 0o600
    monkeypatch.delenv("SHEEPFOLD_CACHE")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert default_folder() == tmp_path / ".cache" / "sheepfold" / "llm"


def test_unusable_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="SHEEPFOLD_CACHE"):
        Store(tmp_path / "file")
    (tmp_path / "garbage").mkdir()
    (tmp_path / "garbage" / "cache.db").write_bytes(b"this is not a database, not at all" * 100)
    with pytest.raises(DataError, match="cannot be used"):
        Store(tmp_path / "garbage")
    monkeypatch.setattr(os, "geteuid", lambda: 12345)
    with pytest.raises(ConfigError, match="another user"):
        Store(tmp_path / "theirs")


def test_two_processes_lose_nothing(tmp_path: Path) -> None:
    program = (
        "import sys\nfrom framework.llm.store import Store\n"
        "with Store(sys.argv[1]) as store:\n"
        "    for n in range(300):\n        store.set(f'{sys.argv[2]}-{n}', 'x' * n)\n"
        "        store.set('shared', sys.argv[2] * 50)\n"
    )
    workers = [
        subprocess.Popen([sys.executable, "-B", "-c", program, str(tmp_path / "s"), name], cwd=Path.cwd())
        for name in ("a", "b")
    ]
    assert [worker.wait(timeout=60) for worker in workers] == [0, 0]
    with Store(tmp_path / "s") as store:
        assert len(store) == 601
        assert all(store.get(f"{w}-{n}") == "x" * n for w in "ab" for n in range(300))
        assert store.get("shared") in ("a" * 50, "b" * 50)


# ------------------------------------------------------------------------------------------------- cassette


def record_of(number: int, text: str = "{}") -> Record:
    request = request_of(
        "offline", {"model": "m", "messages": [{"role": "user", "content": f"question {number}"}]}
    )
    return seal({
        "key": key_of(request), "request": request, "analyst": "A", "stand_in": False, "ts": number,
        "symbol": "S", "price": 1.0, "masked": None, "reply": {"text": text}, "status": "invalid",
        "problems": [], "repairs": [], "signal": None, "parser": 1, "tries": [], "latency_ns": 5,
        "waited_ns": 0, "attempts": 1, "cost": {"usd": 0.0, "basis": "free", "estimated": False},
    })  # fmt: skip


@pytest.mark.parametrize("name", ["c.jsonl", "c.jsonl.gz"])
def test_cassette_is_canonical_and_comes_back(tmp_path: Path, name: str) -> None:
    rows = [record_of(n, "é\ud800") for n in range(20)]
    path = write_cassette(tmp_path / name, rows)
    again = write_cassette(
        tmp_path / ("again" + name), [dict(reversed(row.items())) for row in reversed(rows)]
    )
    assert path.read_bytes() == again.read_bytes()
    assert read_cassette(path) == sorted(rows, key=lambda row: row["key"])
    assert verify(path) == 20
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted([name, "again" + name])
    if name.endswith(".gz"):
        assert path.read_bytes()[3:8] == b"\0" * 5  # no name, no time
        assert gzip.decompress(path.read_bytes()).isascii()


def test_altered_cassettes_are_refused_with_their_line(tmp_path: Path) -> None:
    path = write_cassette(tmp_path / "c.jsonl", [record_of(n) for n in range(5)])
    lines = path.read_text().splitlines()
    cases = {
        "line 2: the key is not that": [lines[0], lines[1].replace("question", "Question")],
        "line 2: its checksum differs": [lines[0], lines[1].replace('"latency_ns":5', '"latency_ns":6')],
        "line 3: not JSON": [*lines[:2], lines[2][:-5]],
        "line 2: keys are not sorted": [lines[1], lines[0]],
        "line 2: keys are not sorted and unique": [lines[0], lines[0]],
        "line 1: fields attempts, more": [lines[0].replace('"attempts"', '"more"')],
        "line 1: not a record": ["[1]"],
        "line 1: not JSON": [""],
    }
    for says, rows in cases.items():
        path.write_text("\n".join(rows) + "\n")
        with pytest.raises(DataError, match=says):
            read_cassette(path)
    path.write_text(lines[0])
    with pytest.raises(DataError, match="cut off"):
        read_cassette(path)
    path.write_bytes(b"\xff\n")
    with pytest.raises(DataError, match="damaged"):
        read_cassette(path)
    with pytest.raises(DataError, match="path of a cassette"):
        read_cassette(tmp_path / "absent.jsonl")


def test_a_torn_gzip_is_refused(tmp_path: Path) -> None:
    path = write_cassette(tmp_path / "c.jsonl.gz", [record_of(n) for n in range(5)])
    whole = path.read_bytes()
    for data in (whole[:-9], whole[: len(whole) // 2], whole[:20] + b"\0" + whole[21:], b"plain text"):
        path.write_bytes(data)
        with pytest.raises(DataError, match=r"c\.jsonl\.gz: the file is damaged"):
            read_cassette(path)


def test_merge_is_a_union_and_conflicts_are_errors(tmp_path: Path) -> None:
    a, b = [record_of(n) for n in (1, 2)], [record_of(n) for n in (2, 3)]
    assert merge(a, b) == sorted([record_of(n) for n in (1, 2, 3)], key=lambda row: row["key"])
    with pytest.raises(DataError, match=r"two different records \(reply\)"):
        merge(a, [record_of(2, "another reply")])
    with pytest.raises(DataError, match="two different records"):
        write_cassette(tmp_path / "c.jsonl", [*a, record_of(1, "x")])
    assert not (tmp_path / "c.jsonl").exists()


def test_the_api_key_is_never_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import base64

    secret = "cr_s3cret/+key=0001"
    monkeypatch.setenv("HOLYSHEEP_API_KEY", secret)
    encoded = base64.b64encode(secret.encode()).decode()
    for text in (secret, f"I saw {secret}!", encoded, secret.encode().hex(), "cr_s3cret%2F%2Bkey%3D0001"):
        with pytest.raises(ConfigError, match="HOLYSHEEP_API_KEY") as info:
            write_cassette(tmp_path / "c.jsonl", [record_of(1, text)])
        assert secret not in str(info.value)
    assert list(tmp_path.iterdir()) == []
    write_cassette(tmp_path / "c.jsonl", [record_of(1, "nothing")])


def test_an_altered_record_is_not_written(tmp_path: Path) -> None:
    row = record_of(1)
    row["request"]["body"]["model"] = "another"
    with pytest.raises(DataError, match="altered"):
        write_cassette(tmp_path / "c.jsonl", [row])
    with pytest.raises(DataError, match="cannot be written"):
        write_cassette(tmp_path / "no" / "such" / "c.jsonl", [record_of(1)])


def test_canonical_refuses_what_has_no_one_form() -> None:
    from framework.errors import SignalError

    assert canonical({"b": 1.0, "a": [True, None, "é"]}) == '{"a":[true,null,"\\u00e9"],"b":1.0}'
    for value in ({"a": float("nan")}, {"a": float("inf")}, {"a": {1, 2}}, {"a": b"x"}):
        with pytest.raises(SignalError, match="JSON"):
            canonical(value)
