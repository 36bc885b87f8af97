"""Slow plain-Python twins, written from design/rules.md and never from the engine's kernels.

`candles.run(case)` is the candle matcher and ledger; `cases.random_case(seed)` invents cases for it;
`compare.frames` and `compare.differences` put the engine beside it.

Where rules.md is silent, the twin (and so the engine) does this:

Time
 1. A run ends with T, the last bar close of the Market: stamps <= T happen, later ones do not ("open"
    orders).
 2. One stamp: funding, mark, bar closes (inside matching, margin at the extreme, last = close, looks at the
    close), bust, expiry, bar opens (margin at the open, then orders), arrivals of what was sent before,
    responses, equity row, then what was sent at this very stamp with zero latency: it shows from the next
    row (4.6).
 3. A batch of arrivals: closes, reduce-only orders, cancels and cancel_all first, each group by frame row;
    the cancel of cancel_ts right after its order. Age = frame row; bracket exits after all of them, as they
    are born.
 4. A cancel or amend acts on any order that is not final, also on one still on its way.
 5. Latency table: last row at or before, else the first. Fills use the response latency of their own stamp;
    ends of orders (rejected, cancelled, expired) are responses too; seen_ts is the running maximum.
    Liquidations and busts are seen at once; at a bust nothing stays on its way. Funding is known at its
    boundary.
 6. Ids of exits and liquidations follow the largest order id. A group mate on its way when the group fills
    is cancelled at its arrival; orders sent later may use the number again.
Arrivals
 7. Tests in this order: bust, group, expired, below lot, min notional (notional(), by its own limit; for
    other kinds and shares at the first fill, at the price paid; exits never), first look. `late` counts
    orders, not amends.
 8. at="close": after a look at the last close, order and new exits look at once at a bar that is already
    open (within its grace). Rests of capped market orders go on at opens. Volume belongs to the bar that
    was looked at.
 9. Amend: qty <= filled cancels and changes nothing; a price or trigger means a new first look as at an
    arrival (not late, not matched in the present bar if past the grace); stop and target act on exits not
    yet born.
Looks and fills
10. Trailing levels are rounded to the nearest tick. A capped stop is triggered for good and goes on as a
    market order.
11. A share is sized before reduce-only cuts, at raw x (1 + slippage) x (1 + entry_spread if it opens),
    before impact. Entry spread and slip_in_range touch slipped kinds only; a closing part alone pays no
    spread.
12. close and reduce-only cut the order's qty to the position. A close cancels exits when something of it
    fills.
13. After a fill: ledger, status, bracket, group, closed position. Exits: born at the first fill and again
    when none is live, in the order stop, trail, target; any fill of an exit ends the rest of its entry.
14. exits_from="next_bar": inside entries are not ambiguous. Price <= 0: "price below zero".
Money
15. Only instruments with tiers are liquidated; tier of the tested price. A mark row is inside a bar when
    open_ts < ts <= close_ts. Isolated: wallet = notional at entry / leverage, given back: loss and fee
    beyond it.
16. A quantity below 1e-9 of what it is a rest of is nothing: volume left, an order's rest, an opening part.
17. Trades: one lot per fill; fees by quantity; funding over open lots at each payment.
"""
