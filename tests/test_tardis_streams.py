"""Each stream of Tardis csv files: trades, liquidations, quotes, derivative tickers; odd but fine rows."""

from __future__ import annotations

import gzip
import random
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest

from framework import Instrument, from_tardis
from framework.data import reader
from framework.data.careful import plain_row
from framework.errors import ConfigError
from tests.tick_files import DAY, ID, WHAT, T, csv_text, read, save, trade


def test_trades(tmp_path: Path) -> None:
    """Unknown sides, repeated ids within 500, amounts of zero, equal rows without an id."""
    rows = [trade(T + i, id=f"a{i % 501 if i < 900 else i}") for i in range(1100)]
    market = read(tmp_path, "trades", rows)
    assert len(market.trades[0]) == 1100  # 501 apart is far enough
    rows = [trade(T + i, id=f"a{i % 500}") for i in range(1100)]
    market = read(tmp_path, "trades", rows)
    assert len(market.trades[0]) == 500
    assert any(
        "600 rows with a repeated id left out, 600 of them with other content" in s for s in market.remarks
    )
    rows = [trade(side="unknown"), trade(side=""), trade(side="sell"), trade(side="sell"), trade(amount="0")]
    market = read(tmp_path, "trades", rows)
    assert market.trades[0]["side"].tolist() == [0, 0, -1, -1]
    told = "\n".join(market.remarks)
    assert "2 rows without an id equal to the row above, kept" in told
    assert "1 row of amount 0 left out" in told
    twice = read(tmp_path, "trades", [trade(id=7), trade(id=7), trade(id="007")])
    assert len(twice.trades[0]) == 2
    assert any(line.endswith("1 row with a repeated id left out") for line in twice.remarks)


def test_liquidations(tmp_path: Path) -> None:
    market = read(tmp_path, "liquidations", [trade(side="buy"), trade(side="sell")])
    assert market.liquidations[0]["side"].tolist() == [1, -1]
    assert not market.trades


def test_quotes(tmp_path: Path) -> None:
    """An empty side is NaN; quotes go before book_ticker; a better book leaves them as quotes."""
    quotes = [[T, T, "1", "1.5", "1.4", "2"], [T, T + 1, "", "", "1.4", "2"]]
    save(tmp_path, "quotes", csv_text("quotes", quotes))
    save(tmp_path, "book_ticker", csv_text("book_ticker", quotes[:1]))
    market = from_tardis(tmp_path, WHAT)
    assert market.books[0].source == "quotes"
    assert market.quotes[0]["bid"].tolist() == [1.4, 1.4]
    assert np.isnan(market.quotes[0]["ask"]).tolist() == [False, True]
    assert any("book_ticker: not read, quotes is used instead" in line for line in market.remarks)
    book = [[T, T, "true", "ask", "1.5", "2"], [T, T, "true", "bid", "1.4", "2"]]
    save(tmp_path, "incremental_book_L2", csv_text("incremental_book_L2", book))
    market = from_tardis(tmp_path, WHAT)
    assert (market.books[0].source, len(market.quotes[0])) == ("incremental_book_L2", 2)


def test_ticker(tmp_path: Path) -> None:
    """Only changed values; funding at boundaries that passed, stamps floored to the second."""
    hour = 3_600_000_000
    bound = DAY + hour
    rows = [
        [bound - 9, bound - 8, bound + 4_000, "0.0001", "0.0002", "1000", "1.5", "", "100.25"],
        [bound - 5, bound - 4, bound + 4_000, "-0.0003", "", "1000", "1.5", "", "100.25"],
        [bound + 3, bound + 6, bound + 4_000, "-0.00031", "", "", "1.6", "", "100.5"],
        [bound + 3, bound + 7, bound + hour, "0.0007", "", "", "1.5", "", "28147.273413733333"],
        [bound + hour + 2_000_000, bound + hour + 2_000_000, bound + hour, "0.0009", "", "1001", "", "", ""],
    ]
    market = read(tmp_path, "derivative_ticker", rows)
    assert market.funding[0].tolist() == [(bound * 1000, -0.00031), ((bound + hour) * 1000, 0.0007)]
    assert market.mark[0].tolist() == [((bound - 9) * 1000, 100.25), ((bound + 3) * 1000, 28147.273413733333)]
    features = {name.partition(":")[0]: rows["value"].tolist() for name, (_, rows) in market.features.items()}
    assert features == {
        "mark_price": [100.25, 100.5, 28147.273413733333], "last_price": [1.5, 1.6, 1.5],
        "open_interest": [1000.0, 1001.0], "predicted_funding_rate": [0.0002],
    }  # fmt: skip
    _, interest = market.features[f"open_interest:{ID}"]
    assert interest["ts"].tolist() == [(bound - 8) * 1000, (bound + hour + 2_000_000) * 1000]
    with pytest.raises(ConfigError, match="is taken for spot and pays no funding; give an Instrument"):
        read(tmp_path, "derivative_ticker", rows, Instrument(ID))


def test_odd_but_fine_rows(tmp_path: Path) -> None:
    """CRLF, exponents, zeros at both ends, gzip in two members: the same rows as written plainly."""
    rows = [trade(T + i, id=i, price=price, amount=amount) for i, (price, amount) in enumerate(
        [("1.50", "2"), ("2", "2e0"), ("001.5", "0.200"), ("1.5E1", "1e-3"), ("1e+1", "1.000000000000000000")]
    )]  # fmt: skip
    text = csv_text("trades", rows)
    plain = read(tmp_path, "trades", rows).trades[0]
    assert plain["tick"].tolist() == [15, 20, 15, 150, 100]
    assert plain["lots"].tolist() == [2000, 2000, 200, 1, 1000]
    for content in (
        gzip.compress(text.replace(b"\n", b"\r\n")), text,
        gzip.compress(text[:200]) + gzip.compress(text[200:]),
        gzip.compress(text) + b"\0" * 50, gzip.compress(b"") + gzip.compress(text),
    ):  # fmt: skip
        path = tmp_path / "made_trades_2023-04-05_AAABBB.csv.gz"
        path.write_bytes(content)
        assert from_tardis([path], WHAT).trades[0].tobytes() == plain.tobytes()


def test_numbers_in_any_form(seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Random decimals, plain and with exponents, through the kernel and through Decimal: the same steps."""
    rng = random.Random(seed)
    texts = []
    for _ in range(3_000):
        digits = str(rng.randrange(1, 10 ** rng.randint(1, 5)))
        at = rng.randint(1, len(digits))
        text = digits[:at] + ("." + digits[at:] if at < len(digits) else "")
        power = rng.choice("eE") + rng.choice(("-", "+", "")) + str(rng.randint(0, 4))
        texts.append(text + rng.choice(("", "", "0" if "." in text else "", power)))
    texts += ["0e5", "0.0e-9", "10e-1", "1e0", "1e009", "100000e-5"]
    slow: list[bytes] = []
    monkeypatch.setattr(reader, "plain_row", lambda *row: slow.append(row[1]) or plain_row(*row))
    rows = [trade(T + i, amount=text) for i, text in enumerate(texts)]
    market = read(tmp_path, "trades", rows, Instrument(ID))
    assert len(slow) < 40  # a finer grid is found a few times, then no row is odd
    lot = Decimal(repr(market.instruments[0].lot_size))
    wanted = [int(Decimal(text) / lot) for text in texts if Decimal(text)]
    assert market.trades[0]["lots"].tolist() == wanted
