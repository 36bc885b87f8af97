"""A HolySheep on this machine: real HTTP on 127.0.0.1, scripted answers, and every fault a relay can have.

    with HolySheepServer([Scripted(status=429, headers={"Retry-After": "0"}), Scripted(text=...)]) as server:
        os.environ |= server.environment
        HolySheep(mode="record").decide(prompts)
    server.requests     # what arrived, without the key

When the script is used up (or none was given) each question gets a valid signal computed from its own text:
the same question always has the same answer. By hand:

    python -m framework.testing.holysheep --port 8011 --latency 500ms --faults 429=0.1,cut=0.05 --seed 7
"""

from __future__ import annotations

import argparse
import hashlib
import hmac
import json
import signal
import threading
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping
from typing import IO, Any

from framework.errors import ConfigError
from framework.testing.holysheep_chance import REPLIES, Bucket, Chance, Latency, LatencyOf, spoiled
from framework.testing.holysheep_http import Server
from framework.testing.holysheep_replies import Scripted, key_of_body, scripted

__all__ = ["KEY", "HolySheepServer", "Plan", "Scripted", "key_of_body"]

KEY = "loopback-key-0123456789"
SCHEMA = ("json_schema", "json_object", "text")

Plan = Iterable[Scripted | str] | Callable[[dict[str, Any]], "Scripted | str"]


class HolySheepServer:
    """The server, in a thread, while the `with` block lasts. Binds 127.0.0.1.

    Parameters
    ----------
    plan : answers in order of arrival (a str is the model's text), or a function of the request's body
    key : the key it accepts as `Authorization: Bearer`
    schema : the kinds of `response_format` it knows ("text" = none); others are answered 400
    latency : "500ms", seconds, two of them (drawn by seed), or a function of the body that returns seconds
    rpm : requests per minute; more are answered 429. With it every answer has x-ratelimit headers
    seed : of what is drawn; default 0
    faults : {kind: share}: a status ("429"), "cut", "garbage", "hang", "truncated", "refusal", "empty",
        "invalid"; drawn from the seed, the question and how often it was asked
    models : names it knows; others are answered 404. None = it answers every name and lists the usual four
    port : 0 = a free one
    log : gets one JSON line per answer; no key is in it

    Attributes
    ----------
    requests : bodies as they arrived, in order, of the questions that were answered
    calls : every POST, refused ones too
    paid : whole answers with status 200
    answers : the same by question (`key_of_body`)

    Raises
    ------
    ConfigError
        A parameter is out of range, or `plan` holds something that is neither a Scripted nor a str.
    """

    def __init__(
        self,
        plan: Plan = (),
        *,
        key: str = KEY,
        schema: Iterable[str] = SCHEMA,
        latency: LatencyOf = None,
        rpm: float | None = None,
        seed: int | None = None,
        faults: Mapping[str, float] | None = None,
        models: Iterable[str] | None = None,
        port: int = 0,
        log: IO[str] | None = None,
    ) -> None:
        self.key, self.models, self.schema = key, models and tuple(models), _schema_of(schema)
        self.requests, self.answers = list[dict[str, Any]](), Counter[str]()
        self.calls = self.paid = 0
        self.closing = threading.Event()
        self._latency, self._chance = Latency(latency, seed or 0), Chance(faults, seed or 0)
        self._bucket, self._log, self._asked = Bucket(rpm), log, Counter[str]()
        self._plan = plan if callable(plan) else None
        self._queue = deque(() if callable(plan) else (scripted(item) for item in plan))
        self._lock = threading.Lock()
        self._server = Server(self, port)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)

    @property
    def url(self) -> str:
        """Base URL, for HOLYSHEEP_BASE_URL."""
        return f"http://127.0.0.1:{self._server.server_address[1]}/v1"

    @property
    def environment(self) -> dict[str, str]:
        """The two variables a client needs."""
        return {"HOLYSHEEP_API_KEY": self.key, "HOLYSHEEP_BASE_URL": self.url}

    def __enter__(self) -> HolySheepServer:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop; whoever hangs is let go, and kept connections are closed."""
        self.closing.set()
        self._server.shutdown()
        self._server.server_close()
        self._server.hang_up()
        self._thread.join()

    def arrive(self) -> tuple[bool, dict[str, str]]:
        """Count one request; return (may be answered, rate headers)."""
        with self._lock:
            self.calls += 1
            return self._bucket.take()

    def lets(self, authorization: str | None) -> bool:
        """True when a header carries the right key."""
        return hmac.compare_digest((authorization or "").encode(), f"Bearer {self.key}".encode())

    def answer(self, body: dict[str, Any], key: str) -> tuple[Scripted, float, str]:
        """Return the next answer to a question, the seconds it takes and its id; remember the question."""
        with self._lock:
            self.requests.append(body)
            self._asked[key] += 1
            nth = self._asked[key]
            kind = self._chance.kind(key, nth)
            takes = kind == "" or kind in REPLIES
            queued = self._queue.popleft() if self._queue and takes else None
        if queued is None:
            queued = scripted(self._plan(body)) if self._plan and takes else Scripted()
        name = "req_" + hashlib.sha256(f"{key}/{nth}".encode()).hexdigest()[:16]
        return spoiled(kind, queued, body), self._latency(body, key, nth), name

    def pay(self, key: str, count: int = 1) -> None:
        """Count a whole answer, before its last byte is sent: who has read it finds it counted."""
        with self._lock:
            self.paid += count
            self.answers[key] += count

    def note(self, key: str, status: int, is_whole: bool, seconds: float) -> None:
        """Log an answer."""
        if self._log is not None:
            row = {"key": key, "status": status, "whole": is_whole, "seconds": round(seconds, 6)}
            with self._lock:
                self._log.write(json.dumps(row) + "\n")
                self._log.flush()


def _schema_of(schema: Iterable[str]) -> tuple[str, ...]:
    kinds = tuple(schema)
    if isinstance(schema, str) or not kinds or not set(kinds) <= set(SCHEMA):
        raise ConfigError(f"schema={schema!r} must be some of {SCHEMA}")
    return kinds


def _shares(text: str) -> dict[str, float]:
    """Read `429=0.1,cut=0.05`."""
    try:
        return {kind.strip(): float(share) for kind, share in (one.split("=") for one in text.split(","))}
    except ValueError:
        raise ConfigError(f"--faults {text!r}: write it like 429=0.1,cut=0.05") from None


def _latency(text: str) -> LatencyOf:
    """Read `500ms` or `200ms-2s`."""
    low, _, high = text.partition("-")
    return (low, high) if high else low


def main() -> None:
    """Serve until Ctrl-C or SIGTERM, at most so many seconds; then tell the calls."""
    parser = argparse.ArgumentParser(prog="python -m framework.testing.holysheep", description=main.__doc__)
    parser.add_argument("--port", type=int, default=8011, help="0 = a free one; default 8011")
    parser.add_argument("--latency", type=str, default="0", help="500ms, or drawn from 200ms-2s")
    parser.add_argument("--rpm", type=float, help="requests per minute; more are answered 429")
    parser.add_argument("--schema", default=",".join(SCHEMA), help="response formats it knows, with commas")
    parser.add_argument("--faults", type=str, help="shares of faults, such as 429=0.1,500=0.05,cut=0.05")
    parser.add_argument("--seed", type=int, default=0, help="of latencies and faults")
    parser.add_argument("--log", type=argparse.FileType("a", encoding="utf-8"), help="a JSON line per answer")
    parser.add_argument("--seconds", type=float, default=3600.0, help="then it stops; default an hour")
    given = parser.parse_args()
    try:
        server = HolySheepServer(
            latency=_latency(given.latency), rpm=given.rpm, schema=given.schema.split(","), seed=given.seed,
            faults=_shares(given.faults) if given.faults else None, port=given.port, log=given.log,
        )  # fmt: skip
    except (ConfigError, OSError) as error:
        raise SystemExit(f"error: {error}") from None
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: server.closing.set())
    with server:
        for name, value in server.environment.items():
            print(f"export {name}={value}", flush=True)
        server.closing.wait(given.seconds)
    print(f"# {server.calls} calls, {server.paid} answers, {len(server.answers)} different questions")


if __name__ == "__main__":
    main()
