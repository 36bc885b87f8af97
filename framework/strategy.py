"""What a researcher subclasses: `Strategy`, its parameters, `@compiled`, and the surfaces its hooks see."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Protocol, TypeVar, get_origin

from framework.errors import ConfigError, StrategyError, near
from framework.records import NEVER

HOOKS = {
    "on_bar": ("bar", "broker"),
    "on_fill": ("fill", "broker"),
    "on_order": ("order", "broker"),
    "on_signal": ("signal", "broker"),
    "on_trade": ("trade", "broker"),
    "on_book": ("book", "broker"),
    "on_timer": ("now", "broker"),
    "ask": ("view",),
    "ask_portfolio": ("view", "broker"),
}
TICK_HOOKS = ("on_trade", "on_book")  # of markets with trades or books
SETTINGS = ("sample", "bars", "timer", "ask_every", "features", "warmup", "view", "instruments")
PARAMETER_TYPES = {"int": int, "float": float, "bool": bool, "str": str}
UNSET = -math.inf
"""An argument left out, for a value that is there only sometimes; passing NaN ends the run with an error."""


class Book(Protocol):
    """What `on_book` gets and `broker.book` is: an instrument's order book as it arrived here, as of now.

    Side +1 is the bids, -1 the asks; level 0 is the best. Prices are NaN and sizes 0.0 where nothing is
    shown. In plain Python also `snapshot(n)` (n levels with totals, imbalance and spread) and `trades(n)`.
    """

    instrument: int
    bid: float
    ask: float
    bid_size: float
    ask_size: float
    mid: float
    spread: float
    microprice: float  # mid weighted by the size of the other side
    age: int  # ns since the last message arrived, -1 before the first

    def imbalance(self, n: int = 1) -> float:
        """(bids - asks) / (bids + asks) over n levels a side, -1..1."""

    def depth(self, side: int, n: int = 1) -> float:
        """Total size of the best n levels."""

    def size_to(self, side: int, price: float) -> float:
        """Total size from the best level to a price, itself included."""

    def price(self, side: int, j: int) -> float:
        """Price of level j."""

    def size(self, side: int, j: int) -> float:
        """Size of level j."""

    def trade(self, j: int) -> Any:
        """The j-th last trade seen, 0 = latest: instrument, ts, local_ts, price, qty, side of the taker."""

    def buy_pressure(self, n: int = 100) -> float:
        """Share of the last n trades' quantity whose taker bought."""


class Broker(Protocol):
    """What hooks get as `broker`: it acts on the event's instrument, now or never, here and live alike.

    Every method returns at once. An order travels to the exchange, is filled there by the rules, and comes
    back as `on_fill` or `on_order`.
    """

    @property
    def position(self) -> float:
        """Signed position of this instrument, as known here."""

    @property
    def equity(self) -> float:
        """Account equity in the settlement currency, marked at the last closes seen."""

    @property
    def cash(self) -> float:
        """Wallet balance in the settlement currency."""

    @property
    def orders(self) -> int:
        """Number of this instrument's orders not known to be final, bracket exits included."""

    @property
    def now(self) -> int:
        """Local time of the event, ns UTC."""

    @property
    def price(self) -> float:
        """Last close seen of this instrument, on ticks the mid (or last trade) seen; 0 before the first."""

    @property
    def book(self) -> Book:
        """Order book of this instrument; markets of bars have none."""

    @property
    def entry_price(self) -> float:
        """Average entry price of the position; 0 when flat."""

    def order(
        self,
        side: int,
        qty: float = UNSET,
        share: float = UNSET,
        price: float = UNSET,
        trigger: float = UNSET,
        stop: float = UNSET,
        target: float = UNSET,
        trail: float = UNSET,
        tif: int | str = 0,
        post_only: bool = False,
        reduce_only: bool = False,
        group: int = 0,
        expire_ts: int = NEVER,
    ) -> int:
        """Send an order and return its id.

        Parameters
        ----------
        side
            +1 buys, -1 sells.
        qty, share
            Exactly one: base units (contracts for inverse), floored to the lot; or a fraction of the free
            equity TIMES leverage, sized at the fill with its fee and slippage: 0.5 at leverage 4 holds twice
            the free equity.
        price, trigger
            Neither: market. `price`: limit. `trigger`: stop. Both: stop-limit.
        stop, target, trail
            Exits for this entry's filled quantity: stop price, target price, trailing distance in price
            units. With `reduce_only`, `trail` makes the order itself a trailing stop.
        tif
            "GTC" (default), "IOC", "FOK"; `expire_ts` (ns) makes it GTD.
        group
            Orders of one nonzero group cancel each other at the first fill.
        """

    def buy(self, qty: float = UNSET, share: float = UNSET, **options: Any) -> int:
        """`order` with side +1."""

    def sell(self, qty: float = UNSET, share: float = UNSET, **options: Any) -> int:
        """`order` with side -1."""

    def close(self) -> int:
        """Close whatever the position is when the order arrives; its bracket exits go along."""

    def cancel(self, order_id: int) -> None:
        """Cancel one order."""

    def cancel_all(self) -> None:
        """Cancel every working order of this instrument; bracket exits stay."""

    def amend(
        self,
        order_id: int,
        qty: float = UNSET,
        price: float = UNSET,
        trigger: float = UNSET,
        stop: float = UNSET,
        target: float = UNSET,
    ) -> None:
        """Replace values of a working order; `qty` is the new total."""

    def at(self, instrument: int) -> Broker:
        """Return the broker of another instrument (index in `Market.instruments`)."""

    def feature(self, name: str) -> float:
        """Value of a feature stream known now; the class names the streams it reads in `features`."""


class Analyst(Protocol):
    """Whoever answers the strategy's questions: a model behind a cache, a cassette, or a published rule."""

    name: str
    model: str
    stand_in: bool

    def decide(self, prompts: Sequence[Any]) -> list[Any]:
        """Answer prompts in order; see `framework.llm`."""


class Strategy:
    """Base of all strategies.

    Annotated class attributes are parameters: sweepable, checked, printed. State is whatever `setup` assigns.
    Hooks: `on_bar(bar, broker)`, `on_fill`, `on_order`, `on_signal(signal, broker)`, `on_timer(now, broker)`,
    and in plain Python `ask(view)`, a market-only question to the analyst, or `ask_portfolio(view, broker)`,
    one that shows the account: it is asked in the middle of the run, so every run asks questions of its own.

    Class settings: `bars` ("1h": the interval `on_bar` gets; default the finest), `timer` ("15m"),
    `ask_every` ("4h"), `features` (names of feature streams), `warmup` (that many of the first bars go by
    without `on_bar` and `ask`; the other hooks are not held back), `sample` (the bundled market the command
    uses by default).
    """

    sample: ClassVar[str] = "btcusd-1h"
    bars: ClassVar[str | None] = None
    timer: ClassVar[str | None] = None
    ask_every: ClassVar[str] = "4h"
    features: ClassVar[tuple[str, ...]] = ()
    warmup: ClassVar[int] = 0
    compiled: ClassVar[bool] = False

    def __init__(self, **parameters: Any) -> None:
        known = parameters_of(type(self))
        for name, value in parameters.items():
            if name not in known:
                raise ConfigError(f"{type(self).__name__} has no parameter '{name}': {near(name, known)}")
            setattr(self, name, checked(type(self).__name__, name, known[name][0], value))

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        check_hooks(cls)
        parameters_of(cls)

    def setup(self) -> None:
        """Create the state of one run. Parameters are set; nothing of the market is known yet."""

    @property
    def params(self) -> dict[str, Any]:
        """Parameters and their values, in the order of declaration."""
        return {name: getattr(self, name) for name in parameters_of(type(self))}

    def __repr__(self) -> str:
        inner = ", ".join(f"{k}={v!r}" for k, v in self.params.items())
        return f"{type(self).__name__}({inner})"


S = TypeVar("S", bound=type[Strategy])


def compiled(cls: S) -> S:
    """Compile the hooks of a strategy in backtests and sweeps; live, the same class runs as it is written."""
    if not (isinstance(cls, type) and issubclass(cls, Strategy)):
        raise StrategyError("@compiled goes on a subclass of Strategy")
    cls.compiled = True
    return cls


def parameters_of(cls: type[Strategy]) -> dict[str, tuple[type, Any]]:
    """Return name -> (type, default) of a strategy's parameters, base classes first."""
    found: dict[str, tuple[type, Any]] = {}
    for base in reversed(cls.__mro__):
        if base is Strategy or not issubclass(base, Strategy):
            continue
        for name, note in vars(base).get("__annotations__", {}).items():
            text = note if isinstance(note, str) else getattr(note, "__name__", str(note))
            if name in SETTINGS or get_origin(note) is ClassVar or "ClassVar" in str(note):
                continue
            if text not in PARAMETER_TYPES:
                raise StrategyError(
                    f"{cls.__name__}.{name}: a parameter is an int, float, bool or str, not {text}; "
                    "leave the annotation away for anything else"
                )
            if name not in vars(base):
                raise StrategyError(
                    f"{cls.__name__}.{name}: a parameter needs a default, like {name}: {text} = ..."
                )
            kind = PARAMETER_TYPES[text]
            found[name] = (kind, checked(cls.__name__, name, kind, vars(base)[name]))
    return found


def checked(owner: str, name: str, kind: type, value: Any) -> Any:
    """Return a parameter value as its declared type; refuse what does not fit without loss."""
    if hasattr(value, "item") and getattr(value, "shape", None) == ():
        value = value.item()
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    if kind is int and isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, str) and kind is not str:
        value = parse_value(owner, name, kind, value)
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise ConfigError(f"{owner}.{name} is {kind.__name__}; {value!r} is not")
    if isinstance(value, float) and not math.isfinite(value):
        raise ConfigError(f"{owner}.{name} must be finite, not {value!r}")
    return value


def parse_value(owner: str, name: str, kind: type, text: str) -> Any:
    """Read a parameter value from the command line."""
    if kind is bool:
        lowered = text.strip().lower()
        if lowered in ("true", "yes", "1", "on"):
            return True
        if lowered in ("false", "no", "0", "off"):
            return False
    else:
        try:
            return kind(text)
        except ValueError:
            pass
    raise ConfigError(f"{owner}.{name} is {kind.__name__}; '{text}' is not")


def check_hooks(cls: type[Strategy]) -> None:
    """Refuse what a class itself defines as on_... or ask... and no run would call, or could not call.

    Those are names that are no hook, and hooks with other parameters than (self, event, broker).
    """
    for name, value in vars(cls).items():
        if not callable(value) or not name.startswith(("on_", "ask")):
            continue
        if name not in HOOKS:
            raise StrategyError(f"{cls.__name__}.{name} is no hook: {near(name, HOOKS)}")
        check_signature(cls, name, value)


def asks_portfolio(cls: type[Strategy]) -> bool:
    """True for a class with `ask_portfolio`; StrategyError where it cannot be asked."""
    if not callable(getattr(cls, "ask_portfolio", None)):
        return False
    if cls.compiled:
        raise StrategyError(f"{cls.__name__}.ask_portfolio is asked in plain Python: leave @compiled away")
    if callable(getattr(cls, "ask", None)):
        raise StrategyError(f"{cls.__name__} has ask and ask_portfolio; keep one of them")
    return True


def need_hook(cls: type[Strategy]) -> None:
    """Refuse a class without any hook: a run of it would do nothing, in silence."""
    if not hooks_of(cls):
        raise StrategyError(
            f"{cls.__name__} has no hook, so nothing ever happens: define on_bar(self, bar, broker)"
        )


def check_signature(cls: type[Strategy], name: str, hook: Callable[..., Any]) -> None:
    """Refuse a hook whose parameters are not (self, event, broker)."""
    wanted = ("self", *HOOKS[name])
    got = list(inspect.signature(hook).parameters.values())
    plain = all(p.kind in (p.POSITIONAL_OR_KEYWORD, p.POSITIONAL_ONLY) and p.default is p.empty for p in got)
    if len(got) != len(wanted) or not plain:
        shown = ", ".join(str(p) for p in got)
        raise StrategyError(f"{cls.__name__}.{name}({shown}) must be {name}({', '.join(wanted)})")


def hooks_of(cls: type[Strategy]) -> set[str]:
    """Return the names of the hooks a strategy defines."""
    return {name for name in HOOKS if callable(getattr(cls, name, None))}
