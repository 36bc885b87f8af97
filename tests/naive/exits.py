"""What a fill sets off: bracket exits, one cancels the other, exits without a position."""

from __future__ import annotations

from typing import Any

from tests.naive.model import Options, Order

TINY = 1e-9  # relative size under which a rest of a quantity is nothing


class Exits:
    """The part of Execution that makes and ends bracket exits."""

    options: Options
    orders: list[Order]
    born_inside: list[Order]
    phase: str
    ledger: Any
    live: Any
    children: Any
    new_order: Any
    cancel: Any

    def bracket(self, order: Order, price: float, qty: float, opened: float, i: int) -> None:
        """Children belong to the quantity that opened a position (rules 4.3).

        Born at the first fill, they grow with more fills and shrink with a sibling's; a fill that finds none
        of them live bears new ones.
        """
        if order.child:
            self.shrink(order, qty)
            return
        if opened <= TINY * qty:
            return
        alive = [child for child in self.children(order) if child.live]
        for child in alive:
            child.qty += opened
        if not alive:
            self.bear(order, price, opened, i)

    def bear(self, entry: Order, price: float, qty: float, i: int) -> None:
        """Create stop, trail and target of an entry, in this order."""
        common = {"k": entry.k, "side": -entry.side, "reduce_only": True, "qty": qty, "status": "open",
                  "parent": entry, "looked": True, "rested": True}
        born = []
        if entry.stop is not None:
            born.append(self.new_order(kind="stop", trigger=entry.stop, role="stop", **common))
        if entry.trail is not None and entry.kind != "trailing":
            trail = {"trail": entry.trail, "extreme": price, "role": "trail"}
            born.append(self.new_order(kind="trailing", **trail, **common))
        if entry.target is not None:
            born.append(self.new_order(kind="limit", price=entry.target, role="target", **common))
        if self.options.exits_from == "next_bar":
            return
        for child in born:
            if self.phase == "inside":
                self.born_inside.append(child)
            elif self.phase == "open":
                child.works_in = i

    def shrink(self, child: Order, qty: float) -> None:
        """One exit filled: its siblings protect so much less, nothing once it is whole; no more entering."""
        for sibling in self.children(child.parent):
            if sibling is child or not sibling.live:
                continue
            if child.status != "filled":
                sibling.qty -= qty
            if child.status == "filled" or sibling.qty - sibling.filled <= TINY * sibling.qty:
                self.cancel(sibling, "other order of the group filled")
        self.cancel(child.parent, "other order of the group filled")

    def one_cancels_other(self, order: Order) -> None:
        """The first fill of a group ends its other orders, those on their way at their arrival."""
        if not order.group or order.n_fills > 1:
            return
        for other in self.orders:
            if other is order or other.group != order.group:
                continue
            if other.live:
                self.cancel(other, "other order of the group filled")
            elif other.status == "pending" and other.sent:
                other.group_filled = True

    def position_closed(self, k: int, before: float) -> None:
        """Bracket exits that no longer reduce are cancelled once the position closed or turned."""
        after = self.ledger.positions[k].qty
        if after != 0.0 and after * before >= 0.0:
            return
        for child in self.live(k):
            if child.child and child.side * after >= 0.0:
                self.cancel(child, "position closed")
