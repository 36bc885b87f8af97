"""The key is shown nowhere and stored nowhere, in whatever form a relay echoes it."""

from __future__ import annotations

import base64
import json
import logging
import time
import traceback
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from framework.errors import ConfigError, VenueError
from framework.llm.cassette import write_cassette
from framework.llm.decision import Prompt
from framework.llm.redact import blot, clean, secret_in
from framework.testing.holysheep import HolySheepServer, Scripted
from tests.llm_bench import GOOD, Bench, bench, prompts_of

__all__ = ["bench"]  # fixture

KEY = "CANARY-k3y/9f+Zq=tok-7731x"
RAW, BEARER = KEY.encode(), f"Bearer {KEY}".encode()


def code(data: bytes) -> str:
    return base64.b64encode(data).decode()


FORMS = {  # as a relay writes it inside a JSON string
    "plain": KEY,
    "json": KEY.replace("/", "\\/"),
    "json, twice": KEY.replace("/", "\\\\\\/"),
    "json, unicode": KEY.replace("/", "\\u002f").replace("=", "\\u003D").replace("C", "\\u0043"),
    "url": quote(KEY, safe=""),
    "url, lower case": quote(KEY, safe="").lower().replace("canary", "CANARY").replace("zq", "Zq"),
    "url, slash kept": quote(KEY),
    "url, twice": quote(quote(KEY, safe=""), safe=""),
    "url, every byte": "".join(f"%{b:02X}" for b in RAW),
    "html": KEY.replace("/", "&#47;").replace("+", "&#x2B;"),
    "hex": RAW.hex(),
    "hex, upper case": RAW.hex().upper(),
    "hex of all": BEARER.hex(),
    "base64": code(RAW),
    "base64 of all": code(BEARER),
    "base64, one before": code(b":" + RAW + b"@host"),
    "base64, two before": code(b"a:" + RAW),
    "base64 url": base64.urlsafe_b64encode(BEARER).decode(),
    "base64, json": code(BEARER).replace("/", "\\/"),
    "base64, quoted": quote(code(BEARER), safe=""),
    "invisible": KEY.replace("-", "-\u200b"),
}


def bare(text: str) -> str:
    """Return text as somebody who looks for the key would read it."""
    kept = text.replace("\\u200b", "").replace("\u200b", "").replace("\\", "")
    return kept.replace("u002f", "/").replace("u003D", "=").replace("u0043", "C")


def holds_key(text: str) -> bool:
    """True when the key can be read out of a text: not by the code under test."""
    wanted = [KEY, code(RAW)[:-4], code(BEARER)[12:-4], code(b":" + RAW)[4:-4], code(b"a:" + RAW)[4:-4]]
    wanted.append(RAW.hex())
    wanted += [one.replace("+", "-").replace("/", "_") for one in wanted[1:]]
    wanted += [quote(one, safe="") for one in wanted] + [quote(quote(KEY, safe=""), safe=""), quote(KEY)]
    wanted += [FORMS["url, every byte"], FORMS["html"], FORMS["url, lower case"], RAW.hex().upper()]
    return any(one in read for one in wanted for read in (text, bare(text)))


def everything_under(folder: Path) -> str:
    return "".join(path.read_bytes().decode("latin-1") for path in folder.rglob("*") if path.is_file())


def serve(bench: Bench, plan: Any) -> HolySheepServer:
    server = HolySheepServer(plan, key=KEY)
    server.__enter__()
    bench.servers.append(server)
    for name, value in server.environment.items():
        bench.patch.setenv(name, value)
    return server


@pytest.mark.parametrize("form", FORMS, ids=str)
def test_an_echoed_key_is_neither_stored_nor_told(bench: Bench, tmp_path: Path, form: str) -> None:
    """In the model's text, in fields nobody asked for, in their names, in the body of an error."""
    echo = FORMS[form]
    assert holds_key(echo), "the test must find it"
    whole = json.dumps({
        "id": "@", "model": "@", "x_echo": {"@": ["@"]}, "system_fingerprint": "@",
        "choices": [{"message": {"content": GOOD.replace('"r"', '"key is @"'), "note": "@"},
                     "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 8, "completion_tokens": 5, "note": "@"},
    })  # fmt: skip
    answer = Scripted(body=whole.replace("@", echo).encode())
    error = '{"error": {"message": "bad key @"}}'.replace("@", echo).encode()
    serve(bench, [answer, Scripted(body=error, status=400), Scripted(body=error, status=402)])
    with bench.client() as client:
        good, refused = client.decide(prompts_of(2))
        with pytest.raises(VenueError) as info:
            client.decide(prompts_of(3)[2:])
        write_cassette(tmp_path / "c.jsonl", client.records())  # and the run is not stuck with it
    assert (good.status, refused.status) == ("ok", "missing")
    assert "***" in good.reasoning
    assert "bad key " in refused.problems[0]
    assert "***" in refused.problems[0]
    said = [repr(good), repr(refused), str(info.value), everything_under(tmp_path)]
    assert len(said[-1]) > 1000
    assert not [text[:300] for text in said if holds_key(text)]


def test_nothing_else_is_touched(bench: Bench) -> None:
    bench.patch.setenv("HOLYSHEEP_API_KEY", KEY)
    plain = {"a": ["CANARY", "5 % of %41", "C:\\x\\u0041", "&#65; & é \ud800", 1.5, None, True], "b": {}}
    assert clean(plain) == plain
    assert blot(f"a {KEY}, b") == "a ***, b"
    assert blot(f"x{code(BEARER)}y").endswith("***y") or "***" in blot(f"x{code(BEARER)}y")
    bench.patch.setenv("HOLYSHEEP_API_KEY", "abc")
    assert blot("abc") == "abc"  # too short to be told from text
    bench.patch.delenv("HOLYSHEEP_API_KEY")
    assert secret_in(KEY) is None


def test_what_is_nested_too_deeply_is_left_out() -> None:
    value: Any = 1
    for _ in range(900):
        value = [value]
    kept, depth = clean({"x": value}), 0
    while isinstance(kept, (dict, list)):
        kept, depth = kept["x"] if isinstance(kept, dict) else kept[0], depth + 1
    assert (kept, depth) == ("(nested too deeply: left out)", 50)


def test_large_texts_take_no_time(bench: Bench) -> None:
    bench.patch.setenv("HOLYSHEEP_API_KEY", KEY)
    start = time.process_time()
    for text in ("\\" * 600_000, "%25" * 200_000, "C\\" * 300_000, "&#4" * 200_000, KEY[:-1] * 25_000):
        assert secret_in(text) is None
    assert blot("\\" * 200_000 + KEY).endswith("***")
    assert time.process_time() - start < 5.0


def test_a_question_that_holds_the_key_is_not_asked(bench: Bench) -> None:
    server = serve(bench, [])
    (prompt,) = prompts_of(1)
    leaking = Prompt(prompt.ts, 0, prompt.brief, f"{prompt.text} {KEY}", prompt.system)
    with pytest.raises(ConfigError, match="HOLYSHEEP_API_KEY; nothing was asked") as info:
        bench.decide([leaking])
    assert not holds_key(str(info.value))
    assert server.calls == 0


def test_the_key_is_shown_nowhere(bench: Bench, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    echo = f"key was {KEY}"
    shown, headers = GOOD.replace('"r"', f'"{echo}"'), {"X-Echo": echo}
    answer = Scripted(shown, envelope={"debug": echo}, headers=headers)
    serve(bench, [answer, Scripted(echo, status=404, headers=headers), Scripted(echo, status=401)])
    said = []
    with bench.client() as client:
        said.append(
            repr(client.decide(prompts_of(1))) + repr(client.records()) + repr(client) + repr(vars(client))
        )
        said.append(repr(vars(client._open_wire())) + json.dumps(client.describe()))
        for count in (2, 3):
            with pytest.raises(VenueError) as info:
                client.decide(prompts_of(count))
            trace = traceback.TracebackException.from_exception(info.value, capture_locals=True)
            said.extend(repr(frame.locals) for frame in trace.stack if frame.filename != __file__)
            said.append(str(info.value))
    assert len(said) > 8
    said += [everything_under(tmp_path), caplog.text]
    assert "X-Echo" in caplog.text
    assert not [text[:300] for text in said if holds_key(text)]
