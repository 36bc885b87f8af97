"""Every fault a service can have, over real HTTP: retried, given up in time, or final; never a half."""

from __future__ import annotations

import gzip
import itertools
import os
import random
import signal
import subprocess
import sys
import time
import zlib
from pathlib import Path

import pytest
from isal import isal_zlib

from framework.data.tardis_files import BLOCK, Damaged, Gunzip
from framework.data.tardis_http import Failed, Patience
from tests.tardis_bench import DAYS, FILES, QUICK, RANGE, Bench, Fault, bench, csv, dataset

__all__ = ["bench"]  # fixture

ONE = ("2024-08-02", "2024-08-03")
FILE = FILES[dataset(ONE[0])]


def bomb() -> bytes:
    """Return 200 MB of zeros as gzip."""
    pack = isal_zlib.compressobj(1, wbits=31)  # as small as zlib makes it, in a thirtieth of its time
    parts = [pack.compress(b"\0" * BLOCK) for _ in range(200)]
    return b"".join(parts) + pack.flush()


@pytest.mark.parametrize(
    "fault",
    [
        Fault(status=500), Fault(status=502, times=3), Fault(status=503), Fault(status=408),
        Fault(status=429),
        Fault(status=429, headers={"Retry-After": "1"}), Fault(status=400, message="use ISO 8601 format"),
        Fault(cut=100), Fault(cut=0), Fault(length=len(FILE) + 10), Fault(length=len(FILE) - 10),
        Fault(body=b""), Fault(body=b"<html>try later</html>"), Fault(body=FILE[:-4]),
        Fault(body=FILE[:-8] + b"\0" * 8), Fault(body=FILE + b"more"), Fault(body=gzip.decompress(FILE)),
        Fault(body=FILE[:60] + b"\xff" * 40 + FILE[100:]),
    ],
    ids=lambda fault: f"{fault.status} {fault.cut} {fault.length} {(fault.body or b'')[-4:]!r}",
)  # fmt: skip
def test_a_passing_fault_is_survived(bench: Bench, fault: Fault) -> None:
    server = bench.serve(faults=[Fault("*/trades/*", **{
        name: getattr(fault, name) for name in fault.__slots__ if name != "match"
    })])  # fmt: skip
    done = bench.get(days=ONE)
    assert done.complete, done.failures
    assert bench.found() == {f"{dataset(ONE[0])}.csv.gz": FILE}
    asked = [path.partition("?")[2] for path in server.datasets]
    assert asked == ["", *(f"retryAttempt={n}" for n in range(1, fault.times + 1))]
    assert sum("again in" in words for words in bench.said) == fault.times


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (Fault(status=400, message="no such type"), "HTTP 400: no such type"),
        (Fault(status=401), "HTTP 401: scripted 401; TARDIS_API_KEY is refused"),
        (Fault(status=403), "HTTP 403: scripted 403"),
        (Fault(status=404), "HTTP 404: scripted 404"),
        (Fault(status=429, headers={"Retry-After": "301"}), "HTTP 429: scripted 429"),
        (Fault(status=302, headers={"Location": "http://example.com/x"}), "not https; this is not followed"),
        (Fault(status=302, headers={"Location": "ftp://127.0.0.1/x"}), "not https; this is not followed"),
        (Fault(status=302, headers={"Location": "//[/x"}), "not https; this is not followed"),
        (Fault(status=304), "HTTP 304"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_final_answer_is_not_asked_for_again(bench: Bench, fault: Fault, words: str) -> None:
    server = bench.serve(faults=[Fault("*/trades/*", -1, fault.status, fault.headers, fault.message)])
    done = bench.get(days=ONE)
    assert words in done.failures[0].words
    assert len(server.datasets) == 1
    assert bench.found() == {}


@pytest.mark.parametrize(
    ("fault", "tries", "words"),
    [
        (Fault(status=500), 30, "HTTP 500: scripted 500 (30 attempts)"),
        (Fault(cut=50), 30, "30 attempts"),
        (Fault(body=b"<html>"), 5, "the file is no gzip file (5 attempts)"),
        (Fault(body=bomb()), 5, "unpacks to more than 100 times its size"),
        (Fault(body=FILE[:-1]), 5, "the file ends before its gzip data does (5 attempts)"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_lasting_fault_is_given_up(bench: Bench, fault: Fault, tries: int, words: str) -> None:
    made = Fault("*/trades/*", -1, fault.status, body=fault.body, cut=fault.cut)
    server = bench.serve(faults=[made])
    done = bench.get(days=ONE, patience=Patience(unit=0.0))
    assert words in done.failures[0].words
    assert len(server.datasets) == tries
    assert bench.found() == {}


@pytest.mark.parametrize("noise", [b"\0\xff" * 4096, gzip.compress(os.urandom(2**18))], ids=["noise", "gzip"])
def test_a_body_without_end_is_bounded(bench: Bench, noise: bytes) -> None:
    fault = Fault("*/trades/*", -1, body=noise, endless=True)
    bench.serve(faults=[fault])
    begun = time.monotonic()
    done = bench.get(days=ONE, largest=2**22, patience=Patience(unit=0.0))
    assert "the file is" in done.failures[0].words
    assert done.bytes < 5 * 2**23
    assert time.monotonic() - begun < 20.0
    assert bench.found() == {}


def test_a_silent_server_is_left_and_asked_again(bench: Bench) -> None:
    server = bench.serve(faults=[Fault("*/trades/*", 2, hang=True)])
    assert bench.get(days=ONE, patience=Patience(unit=0.0, silence=0.1)).complete
    assert len(server.datasets) == 3


def test_a_trickle_is_not_waited_for(bench: Bench) -> None:
    bench.serve(faults=[Fault("*/trades/*", slow=1)])
    quick = Patience(unit=0.0, grace=0.05, slowest=1e6)
    assert bench.get(days=ONE, patience=quick).complete
    assert any("comes too slowly" in words for words in bench.said)


def test_a_used_up_quota_ends_everything(bench: Bench) -> None:
    fault = Fault(f"*/{DAYS[-1].replace('-', '/')}/*", -1, 429, {"Retry-After": "86400"})
    server = bench.serve(faults=[fault])
    done = bench.get()
    assert len(server.datasets) == 1
    assert len(done.failures) == len(DAYS)
    assert "the plan's quota is used up" in done.failures[0].words


def test_one_bad_day_does_not_keep_the_others_out(bench: Bench) -> None:
    bench.serve(faults=[Fault("*/2024/08/02/*", -1, 404)])
    done = bench.get()
    assert [one.wanted.date for one in done.failures] == ["2024-08-02"]
    assert len(done.files) == len(DAYS) - 1


def test_no_right_to_one_series_leaves_the_other(bench: Bench) -> None:
    files = {**FILES, **{dataset(day, "ETHUSDT"): csv(day, "ETHUSDT") for day in DAYS}}
    server = bench.serve(files, faults=[Fault("*BTCUSDT*", -1, 403)])
    done = bench.get("BTCUSDT,ETHUSDT", workers=1)
    assert len(done.files) == len(DAYS)
    assert {one.wanted.symbol for one in done.failures} == {"BTCUSDT"}
    assert sum("BTCUSDT" in path for path in server.datasets) == 2, "the last day, and the free one"


def test_waits_are_those_of_the_official_client() -> None:
    patience = Patience()

    def between(failed: Failed, attempt: int) -> tuple[float, float]:
        draws = [patience.wait(attempt, failed) for _ in range(50)]
        return min(draws), max(draws)

    for attempt in (1, 3, 6, 7, 20):
        base = min(2.0**attempt, 120.0)
        low, high = between(Failed("x"), attempt)
        assert base <= low <= high <= base + 0.5
        low, high = between(Failed("x", 500), attempt)
        assert 2.0 * base <= low <= high <= 2.0 * base + 1.0
        low, high = between(Failed("x", 429), attempt)
        assert base + 60.0 <= low <= high <= base + 60.5
        low, high = between(Failed("x", 429, 17.0), attempt)
        assert 17.0 <= low <= high <= 18.0
    assert not Failed("x", 429, 300.0).is_final
    assert Failed("x", 429, 301.0).is_final


def test_redirects_carry_the_key_to_its_own_host_only(bench: Bench) -> None:
    other = bench.serve()
    server = bench.serve()
    server.faults = [
        Fault("*/2024/08/02/*", 1, 302, {"Location": f"{other.url}/{dataset('2024-08-01')}.csv.gz"}),
        Fault("*/2024/08/03/*", 1, 307, {"Location": f"/v1/{dataset('2024-08-04')}.csv.gz"}),
        Fault("*/2024/07/31/*", -1, 301, {"Location": f"/v1/{dataset('2024-07-31')}.csv.gz"}),
    ]
    done = bench.get()
    assert [request.key for request in other.requests if ".csv.gz" in request.path] == [False]
    assert all(request.key for request in server.requests if ".csv.gz" in request.path)
    assert [one.words for one in done.failures] == ["redirects go round in a circle"]
    assert bench.found()[f"{dataset('2024-08-02')}.csv.gz"] == FILES[dataset("2024-08-01")]


def test_a_redirect_from_outside_to_this_machine_is_not_followed() -> None:
    import asyncio

    from framework.data.tardis_http import Client
    from framework.data.tardis_names import Base

    base = Base("https://datasets.tardis.dev/v1", ("https", "datasets.tardis.dev", 443), False)

    async def targets() -> list[str]:
        async with Client(base, None, QUICK) as client:
            found = [client._target(base.url, "https://cdn.tardis.dev/x")]
            for bad in ("http://127.0.0.1/x", "https://localhost/x", "http://cdn.tardis.dev/x"):
                with pytest.raises(Failed, match="not followed"):
                    client._target(base.url, bad)
            return found

    assert asyncio.run(targets()) == ["https://cdn.tardis.dev/x"]


@pytest.mark.parametrize("encoded", [True, False])
def test_content_encoding_changes_nothing(bench: Bench, encoded: bool) -> None:
    bench.serve(encoded=encoded)
    assert bench.get().complete
    assert bench.whole()


def test_the_gunzip_check_against_cuts_and_flips(seed: int) -> None:
    rng = random.Random(seed)
    data = csv("2024-08-01", rows=400) + csv("2024-08-02", rows=3)  # two members
    for _ in range(300):
        whole = bytearray(data)
        how = rng.choice(("none", "flip", "cut", "grow"))
        at = rng.randrange(10, len(data))
        if how == "flip":
            whole[at] ^= 1 << rng.randrange(8)
        found = bytes(whole[:at]) if how == "cut" else bytes(whole) + (b"x" * (how == "grow"))
        gunzip = Gunzip()
        try:
            steps = sorted({0, len(found), *(rng.randrange(len(found)) for _ in range(rng.randrange(5)))})
            for low, high in itertools.pairwise(steps):
                gunzip.feed(found[low:high])
            gunzip.finish()
            is_fine = True
        except Damaged:
            is_fine = False
        try:
            expected = gzip.decompress(found)
        except (OSError, EOFError, zlib.error):
            expected = None
        if is_fine:
            assert expected is not None, how
            assert gunzip.unpacked == len(expected)
        else:
            assert how != "none"
            assert how == "grow" or expected is None or expected == gzip.decompress(data), how


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_ends_it_within_two_seconds_and_keeps_what_is_done(
    bench: Bench, number: signal.Signals
) -> None:
    server = bench.serve(faults=[Fault("*/2024/08/02/*", -1, slow=1), Fault("*/2024/08/03/*", -1, hang=True)])
    words = ["data", "download", "binance", "BTCUSDT", "trades", *RANGE, "--no-import"]
    process = subprocess.Popen(
        [sys.executable, "-m", "framework", *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent)}, text=True,
    )  # fmt: skip
    until = time.monotonic() + 20.0
    while len(server.datasets) < len(DAYS) and time.monotonic() < until:
        time.sleep(0.002)
    process.send_signal(number)
    begun = time.monotonic()
    _, err = process.communicate(timeout=10)
    assert time.monotonic() - begun < 2.0
    assert process.returncode == 130
    assert err.splitlines()[-1] == "sheepfold: interrupted"
    kept = set(bench.found())
    assert kept >= {f"{dataset(day)}.csv.gz" for day in (DAYS[0], DAYS[-1])}
    assert all(FILES[name.removesuffix(".csv.gz")] == data for name, data in bench.found().items())
