"""Slow plain-Python twins, written from the rules and never from the engine's kernels.

`candles.run(case)` is the candle matcher and ledger; `cases.random_case(seed)` invents cases for it;
`compare.frames` and `compare.differences` put the engine beside it.

Where the rules are silent, the twin (and so the engine) does this:

Time
 1. A run ends with T, the last bar close of the Market: stamps <= T happen, later ones do not ("open"
    orders).
 2. One stamp: funding, mark, bar closes (inside matching, margin at the extreme, last = close, looks at the
    close), bust, expiry, bar opens (margin at the open, then orders), arrivals of what was sent before,
    responses, equity row, then what was sent at this very stamp with zero latency: it shows from the next
    row (4.6).
 3. A batch of arrivals: as sent (ts, then frame row; the cancel of cancel_ts right after its order), but of
    the orders between two cancels or amends closes and reduce-only ones first. Age = arrival, then frame
    row; bracket exits from their birth.
 4. A cancel or amend acts on any order that is not final, also on one still on its way.
 5. Latency table: last row at or before, else the first. Fills use the response latency of their own stamp;
    ends of orders (rejected, cancelled, expired) are responses too; seen_ts is the running maximum.
    Liquidations and busts are seen at once; at a bust nothing stays on its way. Funding is known at its
    boundary.
 6. Ids of exits and liquidations follow the largest order id. A group mate on its way when the group fills
    is cancelled at its arrival; orders sent later may use the number again.
Arrivals
 7. Tests in this order: bust, group, expired, below lot, post-only without a limit, min notional
    (notional(), by its own limit; for other kinds and shares at the first fill, at the price paid; exits
    never), first look. `late` counts market orders and closes, not amends.
 8. at="close": after a look at the last close, order and new exits look at once at a bar that is already
    open (within its grace). Rests of capped market orders go on at opens. Volume belongs to the bar that
    was looked at.
 9. Amend: qty <= filled cancels and changes nothing; a price or trigger means a new first look as at an
    arrival (not late, not matched in the present bar if past the grace); stop and target act on exits not
    yet born.
Looks and fills
 *. Inside a bar the price goes one way from the open, then the other, and passes nearer levels first (ties:
    stops, under "best" limits; then age). "worst" goes first to the nearest stop it reaches (or towards the
    liquidation), "best" to the nearest limit, without one to the nearest level. A bar is ambiguous when two
    touched orders on both sides of its open depend on each other: exits of one position, two of a group, an
    entry and an exit sent alone.
10. Trailing levels are rounded to the nearest tick. A capped stop is triggered for good and goes on as a
    market order.
11. A share is sized before reduce-only cuts, at raw x (1 + slippage) x (1 + entry_spread if it opens), with
    impact at the price its size without impact would pay; a share <= 1 is at most what margin and fee
    allow; free equity below 1e-9 of equity is none. Entry spread and slip_in_range touch slipped kinds
    only; a closing part alone pays no spread.
12. close and reduce-only cut the order's qty to the position. A close cancels exits when something of it
    fills.
13. After a fill: ledger, status, bracket, group, closed position. Exits protect what opened, not what
    closed: born at its first fill and again
    when none is live, in the order stop, trail, target; any fill of an exit ends the rest of its entry.
14. exits_from="next_bar": inside entries are not ambiguous. Price <= 0: "price below zero".
Money
15. Only instruments with tiers are liquidated, at the nearest price that lies in the tier it was computed
    with. Without mark rows in the bar its range decides: exits beyond the liquidation price come after it,
    targets too under "worst" (and under "open_first" if farther from the open); a touched target is then
    ambiguous. A mark row is inside a bar when
    open_ts < ts <= close_ts. Isolated: wallet = notional at entry / leverage, given back: loss and fee
    beyond it.
16. A quantity below 1e-9 of what it is a rest of is nothing: volume left, an order's rest, an opening part.
17. Trades: one lot per fill; fees by quantity; funding over open lots at each payment.
"""
