"""The API key, in every common form a relay may echo it: found, and blotted out.

A reply is stored, shipped with the run and shown on a page. What an ordinary server or proxy does to a header
it prints is looked for: JSON, URL and HTML escapes, base64 (also of "Bearer <key>", at any offset), hex.
"""

from __future__ import annotations

import base64
import html
import logging
import os
import re
from functools import lru_cache
from typing import Any
from urllib.parse import unquote

SECRETS = ("HOLYSHEEP_API_KEY", "TARDIS_API_KEY")
SHORTEST = 6  # characters; a shorter secret would be found in any text
BLOT = "***"
DEEPEST = 50  # levels of a JSON value that are kept
TOO_DEEP = "(nested too deeply: left out)"

_INVISIBLE = "\u00ad\u200b-\u200f\u2060-\u2064\ufeff"  # dropped wherever text is shown
_UNICODE = re.compile(r"\\+u00([0-7][0-9a-fA-F])")
_UNSEEN = re.compile(f"[{_INVISIBLE}]")


class Secret(str):
    """Text that does not show itself in a repr, a traceback with locals, or a log of headers."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "'***'"


_given: dict[str, Secret] = {}  # keys that came as an argument, by the name of their variable


def remember(variable: str, secret: str) -> None:
    """Keep a key that was given as an argument out of texts and logs too, as long as the process lasts."""
    _given[variable] = Secret(secret)


def secret_in(text: str) -> str | None:
    """Return the name of the variable whose secret `text` holds, or None."""
    for variable in (*SECRETS, *_given):
        if _holds(text, variable):
            return variable
    return None


def blot(text: str) -> str:
    """Return text with the secrets of the environment, and those remembered, replaced by ***."""
    for variable in (*SECRETS, *_given):
        if _holds(text, variable):
            text = _pattern(_secret(variable)).sub(BLOT, text)
            text = BLOT if _holds(text, variable) else text  # in a form that is found but not cut out
    return text


def clean(value: Any, depth: int = DEEPEST) -> Any:
    """Return a JSON value without secrets, and without what is nested deeper than anybody means it."""
    if isinstance(value, str):
        return blot(value)
    if not isinstance(value, (dict, list)):
        return value
    if depth == 0:
        return TOO_DEEP
    if isinstance(value, list):
        return [clean(one, depth - 1) for one in value]
    return {blot(name): clean(one, depth - 1) for name, one in value.items()}


class Discreet(logging.Filter):
    """Keeps secrets out of what a library logs."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Blot the message; nothing is dropped."""
        record.msg, record.args = blot(record.getMessage()), ()
        return True


def _secret(variable: str) -> str:
    secret = _given[variable] if variable in _given else os.environ.get(variable, "").strip()
    return secret if len(secret) >= SHORTEST else ""


def _holds(text: str, variable: str) -> bool:
    if not _secret(variable):
        return False
    forms = _forms(_secret(variable))
    return any(form in one for one in (text, *_unescaped(text)) for form in forms) or (
        _bytes(forms[0]).hex() in text.lower()
    )


def _unescaped(text: str) -> tuple[str, ...]:
    """Return readings of a text without the escapes of JSON, then without those of URLs and HTML too.

    Plain replacements: a cassette of a hundred megabytes goes through here.
    """
    if "\\u00" in text:
        text = _UNICODE.sub(lambda found: chr(int(found[1], 16)), text)
    text = text.replace("\\", "")
    if not text.isascii():
        text = _UNSEEN.sub("", text)
    readings = [text]
    for _ in range(3):  # escaped twice and more by a chain of proxies
        before, text = text, unquote(text) if "%" in text else text
        if text == before:
            break
    if "&#" in text:
        text = html.unescape(text)
    return (*readings, text) if text is not readings[0] else (text,)


def _bytes(secret: str) -> bytes:
    return secret.encode("utf-8", "surrogateescape")


@lru_cache(maxsize=8)
def _forms(secret: str) -> tuple[str, ...]:
    """Return the secret and those parts of its base64 that do not depend on what stands around it."""
    raw, cores = _bytes(secret), []
    for offset, first in ((0, 0), (1, 2), (2, 3)):
        encoded = base64.b64encode(b"\0" * offset + raw).decode("ascii")
        cores.append(encoded[first : (offset + len(raw)) * 8 // 6])
    return (secret, *cores, *(core.replace("+", "-").replace("/", "_") for core in cores))


@lru_cache(maxsize=8)
def _pattern(secret: str) -> re.Pattern[str]:
    forms = [*_forms(secret)]
    loose = [*map(_loose, forms[:1]), *(_loose(core) + "[A-Za-z0-9+/_=-]{0,3}" for core in forms[1:])]
    return re.compile("|".join([*loose, f"(?i:{_bytes(secret).hex()})"]))


def _loose(form: str) -> str:
    """Return a pattern of a text with any of its characters escaped."""
    return "".join(
        rf"[\\{_INVISIBLE}]{{0,8}}(?:{re.escape(c)}|(?i:%(?:25){{0,3}}{ord(c):02x}|u00{ord(c):02x}"
        rf"|x{ord(c):02x}|&\#0{{0,4}}{ord(c)};|&\#x0{{0,4}}{ord(c):x};))"
        for c in form
    )
