"""LLM portfolio: show the model the position it has, once a day, and do what it says within a limit."""

from framework import Strategy, portfolio_brief


class LlmPortfolio(Strategy):
    """Hold what the model wants to hold; it sees the market, the position, its gain and the open orders.

    Such a question depends on the path of the run: one basis point of fee more and every later one differs.
    It is asked in the middle of the run, and no other set of a sweep can use its answer. Where the market
    alone decides use `ask`, as `regime_trader` does. With the offline stand-in `Rules` the portfolio changes
    nothing, since `Rules` does not read it.
    """

    min_confidence: float = 0.6
    max_share: float = 0.25  # of equity in one position

    ask_every = "1d"

    def ask_portfolio(self, view, broker):
        return portfolio_brief(view, broker)

    def on_signal(self, signal, broker):
        if broker.position != 0.0 and signal.direction * broker.position <= 0.0:
            broker.close()  # neutral, or the other side
        is_flat_or_other = signal.direction * broker.position <= 0.0
        if is_flat_or_other and signal.direction != 0 and signal.confidence >= self.min_confidence:
            share = min(signal.size, self.max_share)
            broker.order(signal.direction, share=share, stop=signal.stop, target=signal.target)
