"""What each metric is called and means."""

from __future__ import annotations

from typing import NamedTuple

ROLES = ("maker", "taker")
AFTER = ("100ms", "1s", "5s", "10s")  # times after a fill at which the mid is looked at
MOVES = (
    ("bps", "bps", "Mid after − mid before the fill, in its favour; mean over fills."),
    ("t", "ratio", "Mean / (std (ddof 1) / √fills) of that move."),
    ("money", "cost", "That move × filled quantity; mean over fills."),
)


class Definition(NamedTuple):
    """How a metric is called, grouped, printed and defined.

    `unit`: fraction, ratio, money, cost, days, seconds, quantity, ticks, bps or count.
    """

    label: str
    group: str
    unit: str
    text: str


DEFINITIONS: dict[str, Definition] = {
    name: Definition(label, group, unit, text)
    for group, rows in {
        "Return": (
            ("start_equity", "Start equity", "money", "Cash at the start."),
            ("final_equity", "Final equity", "money", "Last row, open positions at the last price."),
            ("total_return", "Total return", "fraction", "Final equity / start equity − 1."),
            ("cagr", "CAGR", "fraction", "Daily returns compounded to 365 days."),
            ("sharpe", "Sharpe ratio", "ratio", "Mean / std (ddof 1) of daily returns × √365."),
            ("sortino", "Sortino ratio", "ratio", "Mean daily return / downside deviation × √365."),
            ("calmar", "Calmar ratio", "ratio", "CAGR / |max drawdown|."),
            ("omega", "Omega ratio", "ratio", "Sum of positive / |sum of negative| daily returns."),
        ),
        "Risk": (
            ("max_drawdown", "Max drawdown", "fraction", "Deepest fall from a peak, over every row."),
            ("max_drawdown_days", "Drawdown length", "days", "From that peak to its recovery or the end."),
            ("volatility", "Volatility", "fraction", "Std (ddof 1) of daily returns × √365."),
            ("var_95", "Daily VaR 95 %", "fraction", "5th percentile of daily returns."),
            ("cvar_95", "Daily CVaR 95 %", "fraction", "Mean of the worst 5 % of daily returns."),
            ("tail_ratio", "Tail ratio", "ratio", "|95th| / |5th percentile| of daily returns."),
            ("exposure", "Exposure", "fraction", "Share of equity rows with an open position."),
        ),
        "Trades": (
            ("trades", "Trades", "count", "Round trips, first in first out."),
            ("orders", "Orders", "count", "Every order sent, bracket exits included."),
            ("fills", "Fills", "count", "Executions; one order may have several."),
            ("rejected", "Rejected orders", "count", "Orders the venue's rules or the account refused."),
            ("late_orders", "Late orders", "count", "Too late for their bar; they waited for the next."),
            ("win_rate", "Win rate", "fraction", "Share of trades with net profit above 0."),
            (
                "profit_factor",
                "Profit factor",
                "ratio",
                "Net profits / |net losses|; undefined without a loss.",
            ),
            ("expectancy", "Expectancy", "money", "Mean net profit of a trade."),
            ("average_trade", "Average trade", "fraction", "Mean of net profit / entry notional."),
            ("average_winner", "Average winner", "fraction", "The same over trades with net profit above 0."),
            ("average_loser", "Average loser", "fraction", "The same over trades with net profit below 0."),
        ),
        "Costs": (
            ("turnover", "Turnover", "ratio", "Traded notional / mean equity, over the whole run."),
            ("fees", "Fees paid", "money", "Sum of fees; rebates count negative."),
            ("slippage", "Slippage paid", "money", "Money lost between raw and paid prices."),
            ("funding", "Funding", "money", "Sum of funding; received is positive."),
            ("tokens", "Model cost", "cost", "Cost of the model's replies."),
            ("liquidation", "Liquidation", "money", "Loss beyond the account that the venue bore."),
        ),
        "Execution": (
            ("fill_rate", "Fill rate", "fraction", "Filled / asked quantity of orders that arrived."),
            ("orders_with_fill", "Orders with a fill", "fraction", "Of the orders that arrived."),
            ("maker_share", "Maker share", "fraction", "Of the traded value."),
            ("queue_wait_median", "Queue wait, median", "seconds", "Arrival to first fill, as maker."),
            ("queue_wait_p90", "Queue wait, 90 %", "seconds", "Nine of ten waited no longer."),
            ("cancels_per_fill", "Cancels per fill", "ratio", "Orders the strategy cancelled / fills."),
            ("quoted_time", "Quoted time", "fraction", "Share of the run with own bid and ask resting."),
            ("quoted_spread_ticks", "Quoted spread", "ticks", "Own bid to own ask, mean over that time."),
            ("quoted_spread_bps", "Quoted spread", "bps", "The same in bps of its middle."),
            ("market_spread_ticks", "Market spread", "ticks", "Best bid to best ask, mean over time."),
            ("market_spread_bps", "Market spread", "bps", "The same in bps of its middle."),
            ("inventory_mean", "Mean inventory", "quantity", "Signed position, mean over time."),
            ("inventory_max", "Largest inventory", "quantity", "Largest |position|."),
            ("flat_time", "Flat time", "fraction", "Share of the run without a position."),
            *(
                (f"move_{after}_{role}_{end}", f"Move after {role} fills, {after}", unit, text)
                for role in ROLES
                for after in AFTER
                for end, unit, text in MOVES
            ),
        ),
        "Evidence": (
            ("ambiguous_bars", "Ambiguous bars", "count", "Bars whose order of events inside was assumed."),
            ("decision_coverage", "Decision coverage", "fraction", "Valid decisions / decisions due."),
        ),
    }.items()
    for name, label, unit, text in rows
}
