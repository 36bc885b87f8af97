"""Order books as a market keeps them: net changes of levels, grouped into messages."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Book:
    """One instrument's book as messages of changed levels; never a snapshot, never crossed, no row in vain.

    Attributes
    ----------
    messages : MESSAGE array, n + 1 rows
        In file order; the last row is a sentinel (ts = local_ts = NEVER, first = number of rows).
    keys : int32 array
        2 x tick, + 1 for an ask.
    lots : int64 array
        New absolute size of the level; 0 = gone, -1 (`records.UNKNOWN`) = it left the visible depth.
    source : str
        Kind of the file it was built from.
    """

    messages: NDArray[Any]
    keys: NDArray[np.int32]
    lots: NDArray[np.int64]
    source: str = "incremental_book_L2"

    def __len__(self) -> int:
        return len(self.messages) - 1

    @property
    def nbytes(self) -> int:
        """Bytes of memory the rows take."""
        return int(self.messages.nbytes + self.keys.nbytes + self.lots.nbytes)
