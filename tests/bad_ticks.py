"""Corrupt and odd tick files: name, kind, bytes, verdict, and what the message (or a remark) must say.

Verdicts: refuse (DataError that names the file, and the row where `row` is given), warn (read, with a
remark), accept (read as the plain file is).
"""

from __future__ import annotations

import gzip
import zlib
from typing import NamedTuple

from framework.data.schema import COLUMNS
from tests.tick_files import DAY, csv_text

REFUSE, WARN, ACCEPT = "refuse", "warn", "accept"
T = DAY + 1_000_000
L2, TRADES, QUOTES, SNAPSHOT, TICKER = (
    "incremental_book_L2", "trades", "quotes", "book_snapshot_5", "derivative_ticker"
)  # fmt: skip
BASE = {
    L2: [[T, T + 3, "true", "ask", "1.5", "2"], [T, T + 3, "true", "bid", "1.4", "1"],
         [T + 5, T + 9, "false", "ask", "1.6", "3.5"]],
    TRADES: [[T, T + 3, "11", "buy", "1.5", "2"], [T + 1, T + 4, "12", "sell", "1.4", "0.5"],
             [T + 5, T + 9, "13", "unknown", "1.5", "1"]],
    QUOTES: [[T, T + 3, "2", "1.5", "1.4", "1"], [T + 1, T + 4, "2", "1.5", "", ""],
             [T + 5, T + 9, "1", "1.5", "1.4", "0.25"]],
    SNAPSHOT: [
        [T, T + 3 + i, *(f"{1.5 + n / 10:.1f},2,{1.4 - n / 10:.1f},1" for n in range(4)), "", "", "", ""]
        for i in range(3)
    ],
    TICKER: [[T, T + 3, DAY + 86_400_000_000, "0.0001", "", "100", "1.5", "1.5", "1.5"],
             [T + 1, T + 4, DAY + 86_400_000_000, "-0.0001", "", "101", "1.5", "1.5", "1.6"],
             [T + 5, T + 9, DAY + 86_400_000_000, "0.0001", "", "101", "1.5", "1.5", "1.5"]],
}  # fmt: skip


class Bad(NamedTuple):
    """One file of the corpus; `packed` = the content is still to be compressed."""

    name: str
    kind: str
    content: bytes
    verdict: str
    words: tuple[str, ...] = ()
    row: int = 0
    packed: bool = True


def plain(kind: str) -> bytes:
    """Return a small file without fault."""
    return csv_text(kind, BASE[kind])


def with_row(kind: str, row: int, line: bytes) -> bytes:
    """Return the small file with one row (1 = the first) replaced by a line."""
    lines = plain(kind).split(b"\n")
    lines[row] = line
    return b"\n".join(lines)


def with_cell(kind: str, column: str, text: str | bytes, row: int = 2) -> bytes:
    """Return the small file with one cell replaced."""
    lines = plain(kind).split(b"\n")
    cells = lines[row].split(b",")
    cells[COLUMNS[kind].index(column)] = text.encode() if isinstance(text, str) else text
    lines[row] = b",".join(cells)
    return b"\n".join(lines)


def cell(kind: str, column: str, text: str, *words: str, row: int = 2, verdict: str = REFUSE) -> Bad:
    """Return the file with one odd cell; the message names the column."""
    shown = (column, *words) if verdict == REFUSE else words
    name = f"{kind}: {column} = {text[:20]!r}" + (f" of {len(text)}" if len(text) > 20 else "")
    return Bad(name, kind, with_cell(kind, column, text, row), verdict, shown,
               row if verdict == REFUSE else 0)  # fmt: skip


def order(kind: str, *swap: str) -> bytes:
    """Return the small file with two columns of the header swapped."""
    head, _, rest = plain(kind).partition(b"\n")
    a, b = (name.encode() for name in swap)
    return head.replace(a, b"%").replace(b, a).replace(b"%", b) + b"\n" + rest


def replaced(kind: str, old: bytes, new: bytes) -> bytes:
    """Return the small file with a text replaced everywhere."""
    return plain(kind).replace(old, new)


def flipped(data: bytes, at: int) -> bytes:
    """Return bytes with one byte changed."""
    return data[:at] + bytes([data[at] ^ 0x55]) + data[at + 1 :]


PACKED = gzip.compress(plain(TRADES), 6, mtime=0)
LONG = csv_text(TRADES, [[T + i, T + i, i, "buy", "1.5", "2"] for i in range(40_000)])
ZEROS = gzip.compress(bytes(1 << 20), 6, mtime=0) * 200
BOMB = (
    gzip.compress(plain(TICKER), 6) + gzip.compress((plain(TICKER).split(b"\n")[3] + b"\n") * 40_000, 6) * 20
)
PACKED_LONG = gzip.compress(LONG, 6, mtime=0)

NUMBERS = [
    ("nan", "no finite number"), ("NaN", "no finite number"), ("inf", "no finite number"),
    ("-inf", "no finite number"), ("1e999", "digits"), ("-1", "negative"), ("-0.5", "negative"),
    ("+1", "finite number"),
    ("1.2.3", "finite number"), ("0x10", "finite number"), ("1_000", "finite number"),
    ("1e", "finite number"), (".5", "finite number"), ("5.", "finite number"), (" 1.5", "finite number"),
    ("1.5 ", "finite number"), ("", "(empty)"), ("null", "finite number"), ("true", "finite number"),
    ("1" * 25, "digits"), ("1" * 700, "finite number"), ("0.0000000000000000001", "digits"),
    ("1e-400", "digits"),
]  # fmt: skip
STAMPS = [
    ("", "(empty)"), ("nan", "microseconds"), ("-5", "microseconds"),
    (str(T // 1000), "microseconds (16 digits)"),
    (str(T * 1000), "microseconds (16 digits)"), (f"{T}.5", "microseconds"), ("1.68065e15", "microseconds"),
    ("0", "microseconds"), ("9" * 16, "microseconds"), ("9" * 400, "microseconds"), (f" {T}", "microseconds"),
    ("2023-04-05T00:00:01Z", "microseconds"),
]  # fmt: skip
CELLS = [
    *(cell(TRADES, "price", text, *words) for text, *words in NUMBERS),
    *(cell(L2, "amount", text, *words) for text, *words in NUMBERS),
    *(cell(QUOTES, "ask_price", text, *words) for text, *words in NUMBERS[:6]),
    *(cell(SNAPSHOT, "bids[1].amount", text, *words) for text, *words in NUMBERS[:6]),
    *(cell(TICKER, "mark_price", text, *words) for text, *words in NUMBERS[:4]),
    *(
        cell(L2, column, text, *words)
        for column in ("timestamp", "local_timestamp")
        for text, *words in STAMPS
    ),
    cell(TRADES, "price", "0", "no price above zero"),
    cell(L2, "price", "0.0", "no price above zero"),
    cell(TICKER, "mark_price", "0", "no price above zero"),
    cell(TICKER, "index_price", "1e999", "finite number"),
    cell(TICKER, "funding_rate", "1.5", "no fraction"),
    cell(TICKER, "funding_rate", "-2", "no fraction"),
    cell(TICKER, "funding_timestamp", "1680652800", "microseconds"),
    cell(TICKER, "open_interest", "-5", "negative"),
    cell(TRADES, "price", "1.55", "between two steps of tick_size 0.1", "tick_size=0.01"),
    cell(L2, "amount", "0.0005", "between two steps of lot_size 0.001", "lot_size=0.0001"),
    cell(TRADES, "price", "99999999999", "more than", "larger tick_size"),
    cell(TRADES, "side", "Buy", "unknown; Tardis writes buy, sell"),
    cell(TRADES, "side", "bid", "unknown"),
    cell(L2, "side", "buy", "unknown; Tardis writes bid, ask"),
    cell(L2, "side", "", "unknown"),
    cell(L2, "is_snapshot", "True", "Tardis writes true, false"),
    cell(L2, "is_snapshot", "1", "unknown"),
    cell(L2, "is_snapshot", "", "unknown"),
    cell(TRADES, "id", "x" * 300, "no id"),
    cell(TRADES, "symbol", "AAACCC", "is not AAABBB"),
    cell(TRADES, "symbol", "aaabbb", "is not AAABBB"),
    cell(TRADES, "symbol", "", "is not AAABBB"),
    cell(TRADES, "exchange", "binance", "is not made", row=3),
    cell(TRADES, "exchange", "", "is not made"),
    cell(L2, "symbol", "AAABBB ", "is not AAABBB"),
    cell(L2, "local_timestamp", str(T), "before the row above", row=3),
    cell(
        TRADES, "local_timestamp", str(DAY - 1), "2023-04-04T23:59:59.999999Z", "day of the file name", row=1
    ),
    cell(TRADES, "local_timestamp", str(DAY + 86_400_000_000), "2023-04-06T00:00:00Z", row=3),
    cell(QUOTES, "ask_price", "", "ask_amount = 2", row=1),
    cell(QUOTES, "bid_amount", "", "bid_price = 1.4", row=1),
    cell(SNAPSHOT, "asks[1].price", "1.5", "not behind 1.5"),
    cell(SNAPSHOT, "asks[1].price", "1.4", "not behind"),
    cell(SNAPSHOT, "bids[2].price", "1.9", "not behind"),
    cell(SNAPSHOT, "asks[2].price", "", "asks[2].amount = 2"),
]


def refused(name: str, kind: str, content: bytes, *words: str, row: int = 0, packed: bool = True) -> Bad:
    """Return a file that is refused."""
    return Bad(name, kind, content, REFUSE, words, row, packed)


def told(name: str, kind: str, rows: list[list[object]], *words: str) -> Bad:
    """Return a file that is read with a remark."""
    return Bad(name, kind, csv_text(kind, rows), WARN, words)


def same(name: str, kind: str, content: bytes, packed: bool = True) -> Bad:
    """Return a file that is read as the small one is."""
    return Bad(name, kind, content, ACCEPT, (), 0, packed)


HEADERS = [
    refused("header: other order", TRADES, order(TRADES, "price", "amount"), "columns in another order"),
    refused(
        "header: lacks a column",
        TRADES,
        replaced(TRADES, b",side,", b","),
        "header lacks side",
        "columns exchange",
    ),
    refused("header: one column more", L2, replaced(L2, b"price,", b"price,flag,"), "has flag too"),
    refused("header: another kind", TRADES, plain(QUOTES), "lacks id, side, price, amount"),
    refused("header: another kind of the same width", L2, plain(TRADES), "lacks is_snapshot"),
    refused("header: upper case", TRADES, replaced(TRADES, b"exchange", b"EXCHANGE"), "lacks exchange"),
    refused("header: none", TRADES, plain(TRADES).partition(b"\n")[2], "no header line"),
    refused("header: quoted", TRADES, replaced(TRADES, b"exchange", b'"exchange"'), "quoted column names"),
    refused("header: byte order mark", TRADES, b"\xef\xbb\xbf" + plain(TRADES), "byte order mark"),
    refused("header: UTF-16", TRADES, plain(TRADES).decode().encode("utf-16"), "byte order mark"),
    refused("header: semicolons", TRADES, replaced(TRADES, b",", b";"), "no header line"),
    refused("header: cut", TRADES, b"exchange,symbol,time", "lacks timestamp"),
    refused(
        "header: without a line end", TRADES, plain(TRADES).partition(b"\n")[0], "the header has no line end"
    ),
    refused("header: twice", TRADES, plain(TRADES) + plain(TRADES), "exchange = exchange", row=4),
    refused("header: an endless line", TRADES, b"a" * 3_000_000, "no header line"),
    refused("header: an empty line first", TRADES, b"\n" + plain(TRADES), "no header line"),
    refused("binary junk", TRADES, bytes(range(256)) * 20, "binary data"),
    refused("an HTML page", TRADES, b"<html>401 Unauthorized</html>", "no header line", packed=False),
    refused("a JSON error", TRADES, b'{"code": 100}', "quoted", packed=False),
]
LINES = [
    refused("line: empty", TRADES, with_row(TRADES, 2, b""), "an empty line", row=2),
    refused("line: empty at the end", TRADES, plain(TRADES) + b"\n", "an empty line", row=4),
    refused("line: spaces", TRADES, with_row(TRADES, 2, b"   "), "1 cells, not 8", row=2),
    refused("line: one cell less", TRADES, with_row(TRADES, 3, b"made,AAABBB,1"), "3 cells, not 8", row=3),
    refused("line: a comma for a dot", TRADES, with_cell(TRADES, "price", "1,5"), "9 cells, not 8", row=2),
    refused(
        "line: one cell more",
        L2,
        replaced(L2, b"\n", b",\n").replace(b"amount,", b"amount"),
        "9 cells",
        row=1,
    ),
    refused("line: quoted cell", TRADES, replaced(TRADES, b"12", b'"12"'), "quoted cells", row=2),
    refused("line: NUL", TRADES, replaced(TRADES, b"sell", b"se\0l"), "byte 0x00", row=2),
    refused("line: not ASCII", TRADES, replaced(TRADES, b"sell", "séll".encode()), "byte 0xc3", row=2),
    refused("line: tab", TRADES, replaced(TRADES, b"sell", b"sell\t"), "byte 0x09", row=2),
    refused("line: 100 kB", TRADES, with_row(TRADES, 2, b"x" * 100_000), "longer than 65536 bytes", row=2),
    refused(
        "line: 100 kB of digits",
        TRADES,
        with_cell(TRADES, "price", "1" * 100_000),
        "longer than 65536",
        row=2,
    ),
    refused("line: 3 MB", TRADES, with_row(TRADES, 2, b"1," * 1_500_000), "longer than 65536", row=2),
    refused("line: the last is cut", TRADES, plain(TRADES)[:-9], "no line end", row=3),
    refused("line: the last lacks its end", TRADES, plain(TRADES)[:-1], "no line end", row=3),
    refused("line: carriage returns alone", TRADES, replaced(TRADES, b"\n", b"\r"), "header"),
    refused("line: a carriage return inside", TRADES, replaced(TRADES, b"12,", b"12\r,"), "byte 0x0d", row=2),
    refused("line: semicolons", TRADES, with_row(TRADES, 2, b"made;AAABBB;1;2;3;buy;1;2"), "1 cells", row=2),
    refused("line: binary junk", L2, with_row(L2, 2, bytes(range(128, 200))), "byte 0x80", row=2),
    refused(
        "line: another exchange's name before ours", L2, replaced(L2, b"\nmade", b"\nxmade"), "xmade", row=1
    ),
    same("CRLF", TRADES, replaced(TRADES, b"\n", b"\r\n")),
    same("CRLF in a book", L2, replaced(L2, b"\n", b"\r\n")),
    same("CRLF in quotes", QUOTES, replaced(QUOTES, b"\n", b"\r\n")),
    same("CRLF in a ticker", TICKER, replaced(TICKER, b"\n", b"\r\n")),
    same("zeros behind", TRADES, replaced(TRADES, b"1.4,0.5", b"1.400,0.50000")),
    same("exponent", TRADES, replaced(TRADES, b"1.4,0.5", b"14e-1,5E-1")),
    same("zeros before", L2, replaced(L2, b"1.6,3.5", b"0001.6,003.5")),
]
GZIPS = [
    refused(
        "gzip: cut in its middle",
        TRADES,
        PACKED_LONG[: len(PACKED_LONG) // 2],
        "gzip is cut short",
        packed=False,
    ),
    refused("gzip: last byte missing", TRADES, PACKED[:-1], "gzip is cut short", packed=False),
    refused("gzip: cut in its header", TRADES, PACKED[:6], "gzip is cut short", packed=False),
    refused("gzip: wrong checksum", TRADES, flipped(PACKED, -6), "gzip is damaged", packed=False),
    refused("gzip: wrong length", TRADES, flipped(PACKED, -2), "gzip is damaged", packed=False),
    refused("gzip: a byte changed", TRADES, flipped(PACKED_LONG, len(PACKED_LONG) // 2), packed=False),
    refused("gzip: junk behind", TRADES, PACKED + b"junk", "other bytes after the gzip", packed=False),
    refused("gzip: second part cut", TRADES, PACKED + PACKED[:12], "gzip is cut short", packed=False),
    refused("gzip: packed twice", TRADES, gzip.compress(PACKED), "binary data"),
    refused("zlib without gzip", TRADES, zlib.compress(plain(TRADES)), "binary data", packed=False),
    refused("zip", TRADES, b"PK\x03\x04" + bytes(60), "binary data", packed=False),
    refused("zero bytes", TRADES, b"", "is 0 bytes long", packed=False),
    refused("gzip bomb of zeros", TRADES, ZEROS, "binary data", packed=False),
    refused("gzip bomb of rows", TICKER, BOMB, "more than 200 to 1", packed=False),
    refused("empty gzip, nothing else", TRADES, b"", "none of the 1 files holds a row"),
    refused("header and no row", TRADES, plain(TRADES).partition(b"\n")[0] + b"\n", "holds a row"),
    same("not compressed", TRADES, plain(TRADES), packed=False),
    same(
        "two parts",
        TRADES,
        gzip.compress(plain(TRADES)[:90]) + gzip.compress(plain(TRADES)[90:]),
        packed=False,
    ),
    same("zeros behind the gzip", TRADES, PACKED + bytes(100), packed=False),
]
B = BASE[L2]
ORDERS = [
    refused("no snapshot", L2, replaced(L2, b"true", b"false"), "none of its 3 rows is part of a snapshot"),
    told(
        "rows before the snapshot",
        L2,
        [[T, T, "false", "bid", "1", "1"], *B],
        "1 row before the first snapshot",
    ),
    told("one-sided snapshot", L2, B[:1], "1 snapshot with an empty side"),
    told("snapshot of amounts 0", L2, [[*B[0][:-1], "0"], B[1]], "1 snapshot with an empty side"),
    told(
        "crossed", L2, [*B, [T + 9, T + 10, "false", "bid", "1.6", "1"]], "2 levels removed where bid and ask"
    ),
    told(
        "locked", L2, [*B, [T + 9, T + 10, "false", "bid", "1.5", "1"]], "1 level removed where bid and ask"
    ),
    told("clock ahead", L2, [[T + 9_000, *row[1:]] for row in B], "doubtful clock: up to 8.997 ms ahead"),
    told(
        "clock back",
        TRADES,
        [[T - 500 * i, T + 5, i, "buy", "1.5", "2"] for i in range(3)],
        "up to 1 ms back",
    ),
    told(
        "silence",
        TRADES,
        [[T, T, 1, "buy", "1.5", "2"], [T, T + 61_000_000, 2, "buy", "1.5", "2"]],
        "1 gap of more",
    ),
    told("repeated id", TRADES, [*BASE[TRADES], BASE[TRADES][2]], "1 row with a repeated id left out"),
    told(
        "repeated row without id",
        TRADES,
        [[T, T, "", "buy", "1.5", "2"]] * 2,
        "without an id equal to the row above",
    ),
    told(
        "amount 0",
        TRADES,
        [*BASE[TRADES], [T + 9, T + 9, 14, "buy", "1.5", "0"]],
        "1 row of amount 0 left out",
    ),
    told("crossed quote", QUOTES, [[T, T, "1", "1.5", "1.6", "1"]], "1 level removed"),
    told("empty quote", QUOTES, [[T, T, "", "", "", ""]], "1 row with an empty side"),
    told("a short day", TRADES, BASE[TRADES], "has rows from 00:00:01.000003Z to"),
    same("repeated rows of a book", L2, csv_text(L2, [*B, B[2], B[2]])),
    same("deletion of an absent level", L2, csv_text(L2, [*B, [T + 5, T + 9, "false", "bid", "0.7", "0"]])),
]
CORPUS = [*CELLS, *HEADERS, *LINES, *GZIPS, *ORDERS]
