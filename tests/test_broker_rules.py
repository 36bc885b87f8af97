"""What a broker's order becomes: the same, compiled and plain.

Tick 0.5, lot 0.1. Bar 0 is flat at 100, then what the test says; the order is sent at t(1) and meets bar 1.
"""

from __future__ import annotations

from typing import Any

import pytest

from framework import UNSET, Fills, Result, Strategy, compiled
from framework.errors import OrderRejected
from tests.golden import t
from tests.small import FLAT, made, play
from tests.test_engine_modes import written

GRID = {"tick_size": 0.5, "lot_size": 0.1}
GTC, IOC, FOK = 0, 1, 2
LOW = ("100 100 95 100", "100 100 90 100")  # bars 1 and 2 where nothing else is said


@compiled
class Sends(Strategy):
    """Send one order at the first bar, after another that makes a position; amend it at the second."""

    side: int = 1
    qty: float = 1.0
    price: float = 0.0  # 0 stands for none
    trigger: float = 0.0
    stop: float = 0.0
    target: float = 0.0
    trail: float = 0.0
    tif: int = 0
    post_only: bool = False
    reduce_only: bool = False
    expire: int = 0  # minutes after the first bar's open
    held: float = 0.0  # signed position bought before
    new_qty: float = 0.0
    new_price: float = 0.0
    new_trigger: float = 0.0
    new_stop: float = 0.0
    new_target: float = 0.0

    def setup(self):
        self.count = 0
        self.order_id = 0

    def given(self, value):
        return value if value != 0.0 else UNSET

    def on_bar(self, bar, broker):
        self.count += 1
        if self.count == 1:
            if self.held != 0.0:
                broker.order(1 if self.held > 0.0 else -1, qty=abs(self.held))
            self.send(broker)
        if self.count == 2:
            broker.amend(
                self.order_id, qty=self.given(self.new_qty), price=self.given(self.new_price),
                trigger=self.given(self.new_trigger), stop=self.given(self.new_stop),
                target=self.given(self.new_target),
            )  # fmt: skip

    def send(self, broker):
        late = 4_611_686_018_427_387_904
        if self.expire > 0:
            late = 1_700_000_400_000_000_000 + self.expire * 60_000_000_000
        self.order_id = broker.order(
            self.side, qty=self.qty, price=self.given(self.price), trigger=self.given(self.trigger),
            stop=self.given(self.stop), target=self.given(self.target), trail=self.given(self.trail),
            tif=self.tif, post_only=self.post_only, reduce_only=self.reduce_only, expire_ts=late,
        )  # fmt: skip


@pytest.fixture(params=[True, False], ids=["compiled", "plain"])
def form(request: pytest.FixtureRequest) -> type[Strategy]:
    """The strategy in both forms."""
    return Sends if request.param else written(Sends)


def send(form: type[Strategy], *rows: str, fills: Fills | None = None, **params: Any) -> Result:
    """Run over a flat bar and these."""
    return play(form(**params), made(FLAT, *(rows or LOW), **GRID), fills=fills)


def ends(result: Result) -> list[tuple[Any, ...]]:
    """(status, reason, filled) of every order."""
    return result.orders.select("status", "reason", "filled_qty").rows()


def paid(result: Result) -> list[tuple[Any, ...]]:
    """(side, price, qty) of every fill."""
    return result.fills.select("side", "price", "qty").rows()


# ---- 6.2 grids


def test_qty_is_floored_to_the_lot(form: type[Strategy]) -> None:
    """rules 6.2: 1.29 fills as 1.2, and the orders table keeps what was asked."""
    result = send(form, qty=1.29)
    assert paid(result) == [("buy", 100.0, 1.2)]
    assert result.orders["qty"].to_list() == [1.29]
    assert ends(result) == [("filled", "", 1.2)]


def test_less_than_a_lot_is_rejected(form: type[Strategy]) -> None:
    """rules 6.2: a quantity floored to 0 is rejected "below lot"; never rounded up."""
    result = send(form, qty=0.0999)
    assert (ends(result), paid(result)) == ([("rejected", "below lot", 0.0)], [])
    assert result.orders["qty"].to_list() == [0.0999]


def test_a_buy_limit_is_floored(form: type[Strategy]) -> None:
    """rules 6.2: a buy at 95.49 rests at 95.0, to the passive side, also from just under the next tick."""
    result = send(form, price=95.49)
    assert paid(result) == [("buy", 95.0, 1.0)]
    assert result.orders["price"].to_list() == [95.49]
    assert paid(send(form, "100 100 95.5 100", "100 100 95.5 100", price=95.49)) == []


def test_a_sell_limit_is_ceiled(form: type[Strategy]) -> None:
    """rules 6.2: a sell at 104.01 rests at 104.5."""
    rows = ("100 104 100 100", "100 105 100 100")
    result = send(form, *rows, side=-1, price=104.01)
    assert paid(result) == [("sell", 104.5, 1.0)]
    assert result.fills["ts"].to_list() == [t(3)]
    assert result.orders["price"].to_list() == [104.01]


@pytest.mark.parametrize(("asked", "level"), [(101.26, 101.5), (101.24, 101.0), (101.74, 101.5)])
def test_a_trigger_goes_to_the_nearest_tick(form: type[Strategy], asked: float, level: float) -> None:
    """rules 6.2: triggers are rounded both ways."""
    assert paid(send(form, "100 102 100 100", trigger=asked)) == [("buy", level, 1.0)]


@pytest.mark.parametrize(("asked", "level"), [(97.26, 97.5), (97.24, 97.0)])
def test_a_bracket_stop_goes_to_the_nearest_tick(form: type[Strategy], asked: float, level: float) -> None:
    """rules 6.2: and so are the stops of brackets."""
    assert paid(send(form, stop=asked)) == [("buy", 100.0, 1.0), ("sell", level, 1.0)]


@pytest.mark.parametrize(("side", "asked", "level"), [(1, 103.01, 103.5), (-1, 96.99, 96.5)])
def test_a_target_goes_to_its_passive_side(
    form: type[Strategy], side: int, asked: float, level: float
) -> None:
    """rules 6.2: a target is a limit: a sell up, a buy down."""
    result = send(form, "100 104 96 100", side=side, target=asked)
    assert [price for _, price, _ in paid(result)] == [100.0, level]
    assert ends(result)[1][:2] == ("filled", "target")


@pytest.mark.parametrize(("asked", "level"), [(3.2, 97.0), (3.3, 96.5), (0.1, 99.5)])
def test_a_trail_is_a_number_of_ticks(form: type[Strategy], asked: float, level: float) -> None:
    """rules 6.2: the distance to the nearest tick, at least one."""
    assert paid(send(form, trail=asked)) == [("buy", 100.0, 1.0), ("sell", level, 1.0)]


def test_amended_values_are_quantised_alike(form: type[Strategy]) -> None:
    """rules 6.2: an amend floors the quantity and the buy limit; a sell's goes up."""
    rows = ("100 100 100 100", "100 103 95 100")
    bought = send(form, *rows, price=90.0, new_price=95.49, new_qty=2.19)
    assert paid(bought) == [("buy", 95.0, 2.1)]
    sold = send(form, *rows, side=-1, price=110.0, new_price=102.51)
    assert paid(sold) == [("sell", 103.0, 1.0)]
    stopped = send(form, *rows, trigger=110.0, new_trigger=102.26)
    assert paid(stopped) == [("buy", 102.5, 1.0)]
    nothing = send(form, *rows, price=90.0, new_qty=0.05)
    assert ends(nothing) == [("cancelled", "cancelled by strategy", 0.0)]


def test_an_amended_bracket_is_quantised_alike(form: type[Strategy]) -> None:
    """rules 6.2: levels of a waiting entry too: the stop to the nearest tick, the target to its side."""
    rows = (FLAT, "100 100 95 100", "100 100 95 100", "100 104 97 100")
    stopped = send(form, *rows, price=96.0, stop=50.0, new_stop=95.26)
    assert paid(stopped) == [("buy", 96.0, 1.0), ("sell", 95.5, 1.0)]
    won = send(form, *rows, price=96.0, target=190.0, new_target=103.01)
    assert paid(won) == [("buy", 96.0, 1.0), ("sell", 103.5, 1.0)]


def test_the_table_keeps_the_trigger_that_was_asked(form: type[Strategy]) -> None:
    """rules 6.2: the order row keeps what was asked, of a stop as of a limit."""
    result = send(form, trigger=101.26)
    assert result.orders.select("type", "price").rows() == [("stop", 101.26)]


# ---- time in force, flags


@pytest.mark.parametrize(
    ("expire", "wanted"),
    [(3, ("filled", "", 1.0)), (2, ("expired", "past expire_ts", 0.0))],
)
def test_expire_ts(form: type[Strategy], expire: int, wanted: tuple[Any, ...]) -> None:
    """rules 2: good until then: bar 2 (it closes at t(3)) counts for t(3), and not for t(2)."""
    result = send(form, "100 100 99 100", "100 100 95 100", price=95.0, expire=expire)
    assert ends(result) == [wanted]
    assert result.orders["end_ts"].to_list() == [t(expire)]
    assert result.orders["tif"].to_list() == ["GTD"]
    gone = send(form, "100 100 99 100", "95 100 95 100", price=95.0, expire=2)
    assert ends(gone) == [("expired", "past expire_ts", 0.0)]  # before the open of t(2)


def test_ioc_and_fok_act_at_the_first_open_only(form: type[Strategy]) -> None:
    """rules 4.5: a limit not met there is gone, though the bar goes through it."""
    for tif, words in ((IOC, "IOC remainder"), (FOK, "FOK not fillable")):
        assert ends(send(form, price=95.0, tif=tif)) == [("cancelled", words, 0.0)]
        met = send(form, "95 100 95 100", price=95.0, tif=tif)
        assert paid(met) == [("buy", 95.0, 1.0)]
        assert met.fills["maker"].to_list() == [False]
    assert paid(send(form, price=95.0)) == [("buy", 95.0, 1.0)]


def test_ioc_takes_what_is_there_and_fok_all_or_nothing(form: type[Strategy]) -> None:
    """rules 4.5: of 4 wanted and a tenth of the bar's 20, IOC fills 2, FOK none; GTC goes on."""
    rows, capped = ("100 100 100 100 20", "100 100 100 100 20"), Fills(volume_share=0.1)
    assert ends(send(form, *rows, qty=4.0, tif=IOC, fills=capped)) == [("cancelled", "IOC remainder", 2.0)]
    assert ends(send(form, *rows, qty=4.0, tif=FOK, fills=capped)) == [("cancelled", "FOK not fillable", 0.0)]
    assert ends(send(form, *rows, qty=2.0, tif=FOK, fills=capped)) == [("filled", "", 2.0)]
    assert paid(send(form, *rows, qty=4.0, fills=capped)) == [("buy", 100.0, 2.0)] * 2


def test_post_only(form: type[Strategy]) -> None:
    """rules 4.5: rejected where it would fill at its first open, at the limit's own price too."""
    for opened in ("96", "95"):
        result = send(form, f"{opened} 100 95 100", price=96.4, post_only=True)
        assert (ends(result), paid(result)) == ([("rejected", "post-only would take", 0.0)], [])
    rests = send(form, "96.5 100 95 100", price=96.4, post_only=True)
    assert paid(rests) == [("buy", 96.0, 1.0)]
    assert rests.fills["maker"].to_list() == [True]


def test_reduce_only_never_flips(form: type[Strategy]) -> None:
    """rules 4.8: a reduce-only sell of 5 on a position of 2 sells 2; without one it is cancelled."""
    rows = ("100 104 100 100", "100 105 100 100")
    result = send(form, *rows, held=2.0, side=-1, qty=5.0, price=103.0, reduce_only=True)
    assert paid(result) == [("buy", 100.0, 2.0), ("sell", 103.0, 2.0)]
    assert ends(result)[1] == ("filled", "", 2.0)
    assert result.equity["position"].to_list()[-1] == 0.0
    nothing = send(form, *rows, side=-1, qty=5.0, price=103.0, reduce_only=True)
    assert ends(nothing) == [("cancelled", "reduce-only would increase", 0.0)]
    same_way = send(form, *rows, held=-2.0, side=-1, qty=5.0, price=103.0, reduce_only=True)
    assert ends(same_way)[1] == ("cancelled", "reduce-only would increase", 0.0)


def test_a_trailing_order_of_its_own(form: type[Strategy]) -> None:
    """rules 6.2: with reduce_only a trail is the order itself: 104 less 2.5, the open after it below that."""
    rows = ("100 104 98.5 104", "104 104 103 103", "101 101 101 101")
    result = send(form, *rows, held=2.0, side=-1, qty=2.0, trail=2.6, reduce_only=True)
    assert result.orders["type"].to_list() == ["market", "trailing"]
    assert paid(result)[1:] == [("sell", 101.0, 2.0)]


# ---- the call itself


def test_ids_count_up_and_come_back_at_once(form: type[Strategy]) -> None:
    """house 4: an order returns its id in every world; ids are the table's."""
    result = send(form, held=1.0, price=95.0)
    assert result.orders["id"].to_list() == [1, 2]
    assert result.orders["instrument"].to_list() == ["made:AAA"] * 2


@pytest.mark.parametrize("params", [{"side": 0}, {"side": 2}])
def test_a_side_is_plus_or_minus_one(form: type[Strategy], params: dict[str, Any]) -> None:
    """rules 2: anything else is refused in words."""
    with pytest.raises(OrderRejected, match=r"side"):
        send(form, **params)


def test_a_trail_or_tif_that_means_nothing_ends_the_run(form: type[Strategy]) -> None:
    """A negative distance is no distance; a time in force that is none is not taken for another."""
    with pytest.raises(OrderRejected, match="trail"):
        send(form, trail=-2.0)
    with pytest.raises(OrderRejected, match="tif"):
        send(form, price=99.0, tif=9)
