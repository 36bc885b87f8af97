"""What is asked of Tardis and where it lies: symbols, days, URLs, keys, and the places of files on disk.

URL forms and symbol encoding: https://docs.tardis.dev/downloadable-csv-files and its clients' source.
"""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote, urlsplit

from framework.data.schema import check_kind
from framework.errors import ConfigError
from framework.llm.redact import Secret, remember
from framework.times import DAY, format_time, parse_time

KEY_VARIABLE = "TARDIS_API_KEY"
DATASETS, API = "TARDIS_DATASETS_URL", "TARDIS_API_URL"
DEFAULT_URLS = {DATASETS: "https://datasets.tardis.dev/v1", API: "https://api.tardis.dev/v1"}
LONGEST_SYMBOL = 120
MOST_FILES = 100_000
RESERVED = re.compile(r"(CON|PRN|AUX|NUL|COM\d|LPT\d)(\.|$)")  # no file can have these names on Windows


class Base(NamedTuple):
    """One service: its URL and who may be sent its key."""

    url: str
    origin: tuple[str, str, int]  # scheme, host, port
    is_loopback: bool


class Wanted(NamedTuple):
    """One day's file of one symbol."""

    venue: str
    kind: str
    symbol: str  # upper case, as in the csv
    day: int  # ns

    @property
    def date(self) -> str:
        """The day as 2024-08-01."""
        return format_time(self.day)[:10]

    @property
    def is_free(self) -> bool:
        """True for the first day of a month: no key is needed."""
        return self.date.endswith("-01")

    def url(self, base: Base) -> str:
        """Return the file's URL."""
        name = quote(self.symbol, safe="")
        return f"{base.url}/{self.venue}/{self.kind}/{self.date.replace('-', '/')}/{name}.csv.gz"

    def path(self, folder: Path) -> Path:
        """Return the file's place below a folder."""
        name = f"{file_name(self.symbol)}.csv.gz"
        return folder / self.venue / self.kind / self.date.replace("-", "/") / name

    def __str__(self) -> str:
        return f"{self.venue} {self.kind} {self.symbol} {self.date}"


def base_of(variable: str) -> Base:
    """Return a service's base URL, from its variable or the real one.

    Raises
    ------
    ConfigError
        Not https (plain http only to this machine), or a URL that carries a password or a query.
    """
    default = DEFAULT_URLS[variable]
    url = os.environ.get(variable, "").strip().rstrip("/") or default
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        raise ConfigError(f"{variable} is not a URL; write it like {default}") from None
    if not host or parts.query or parts.fragment or "@" in parts.netloc or not url.isprintable():
        raise ConfigError(f"{variable} must be a plain URL without password or query, like {default}")
    is_loopback = on_loopback(host)
    if parts.scheme != "https" and not (parts.scheme == "http" and is_loopback):
        raise ConfigError(f"{variable}: plain http is for this machine only; use https://{host}")
    return Base(url, (parts.scheme, host, port or (443 if parts.scheme == "https" else 80)), is_loopback)


def on_loopback(host: str) -> bool:
    """True for this machine's own names."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def api_key(key: str | None = None) -> Secret | None:
    """Return the key given, or that of TARDIS_API_KEY, or None; its value is never shown.

    Raises
    ------
    ConfigError
        It is not one word of printable ASCII.
    """
    name = KEY_VARIABLE if key is None else "key"
    key = hidden(key)
    value = Secret((os.environ.get(KEY_VARIABLE, "") if key is None else key).strip())
    if not value:
        return None
    if not (value.isascii() and value.isprintable()) or " " in value:
        raise ConfigError(f"{name} holds characters a key cannot have; copy it again")
    if key is not None:
        remember("key", value)
    return value


def hidden(key: str | None) -> Secret | None:
    """Return a key as text that no traceback shows."""
    return None if key is None else Secret(key)


def check_venue(venue: Any) -> str:
    """Return a venue id; refuse what cannot be one."""
    if not isinstance(venue, str) or not re.fullmatch(r"[a-z0-9][a-z0-9-]{0,59}", venue):
        raise ConfigError(f"venue: {venue!r} is no Tardis exchange id; write it like binance-futures")
    return venue


def dataset_symbol(symbol: Any) -> str:
    """Return a symbol as the datasets have it: upper case, `/` and `:` as `-`.

    Raises
    ------
    ConfigError
        Empty, longer than 120 characters, or with characters that no symbol has.
    """
    text = symbol.strip() if isinstance(symbol, str) else ""
    if not text or len(text) > LONGEST_SYMBOL:
        raise ConfigError(f"symbols: {short(symbol)} is no symbol; write it like BTCUSDT")
    if ".." in text or "\\" in text or any(c.isspace() or not c.isprintable() for c in text):
        raise ConfigError(f"symbols: {short(symbol)} has what no symbol has; write it like BTCUSDT")
    return text.replace(":", "-").replace("/", "-").upper()


def short(value: object) -> str:
    """Return a value for an error, cut where it is long."""
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:60]}..."


def file_name(symbol: str) -> str:
    """Return a symbol as a file name: characters that differ between file systems are written %XX.

    Two symbols never have one name, and none is hidden, reserved or outside its folder.
    """
    name = "".join(c if re.fullmatch(r"[A-Z0-9._-]", c) else encoded(c) for c in symbol)
    return encoded(name[0]) + name[1:] if name.startswith(".") or RESERVED.match(name) else name


def encoded(text: str) -> str:
    """Return every byte of a text as %XX."""
    return "".join(f"%{byte:02X}" for byte in text.encode())


def listed(value: Any, what: str) -> list[str]:
    """Return one name, several with commas between, or a list of names, each once."""
    parts = value.split(",") if isinstance(value, str) else list(value)
    names = [part.strip() if isinstance(part, str) else part for part in parts]
    if not names or any(not isinstance(name, str) or not name for name in names):
        raise ConfigError(f"{what}: {short(value)} names nothing; give names with commas between them")
    return list(dict.fromkeys(names))


def check_kinds(kinds: Any) -> list[str]:
    """Return the kinds of files; refuse unknown ones with near names."""
    return [check_kind(kind, "kinds") for kind in listed(kinds, "kinds")]


def check_days(start: Any, stop: Any) -> list[int]:
    """Return the UTC days (ns) of [start, stop).

    Raises
    ------
    ConfigError
        The range is empty or runs backwards.
    """
    first, last = parse_time(start), parse_time(stop)
    if last <= first:
        how = "is empty" if last == first else "runs backwards"
        raise ConfigError(
            f"dates: {format_time(first)[:10]} to {format_time(last)[:10]} {how}; the end is exclusive: "
            "give a later one"
        )
    days = range(first // DAY * DAY, last, DAY)
    if len(days) > MOST_FILES:
        raise ConfigError(f"dates: {len(days):,} days are more than {MOST_FILES:,}; give a shorter range")
    return list(days)


def series_of(
    venue: str, symbols: Iterable[str], kinds: Iterable[str], days: list[int]
) -> list[list[Wanted]]:
    """Return the files by symbol and kind, each in the order in which they are fetched.

    The last day first, then the first, then the rest: missing rights show early. So do the official clients.
    """
    order = [*days[:-1], *days[-1:]]
    order = [order[-1], order[0], *order[1:-1]] if len(order) > 1 else order
    return [[Wanted(venue, k, symbol, day) for day in order] for symbol in symbols for k in kinds]


def store_folder(store: str | Path | None = None) -> Path:
    """Return the store's folder: as given, SHEEPFOLD_STORE, or the user's data folder."""
    if store is not None:
        return Path(store)
    if named := os.environ.get("SHEEPFOLD_STORE"):
        return Path(named)
    home = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    return Path(home) / "sheepfold" / "data"
