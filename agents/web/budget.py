"""A hard limit on what paid calls may cost."""

from __future__ import annotations

from threading import Lock

from agents.errors import BudgetError


class Budget:
    """Counts what calls cost, and ends the run before one that would cost too much.

    Args:
        limit: Most that may be spent, in the unit of the prices; None: no limit.
        spent: What the run has spent before.
    """

    def __init__(self, limit: float | None = None, spent: float = 0.0) -> None:
        self._limit = limit
        self._spent = spent
        self._held = 0.0
        self._unrecorded = 0.0
        self._lock = Lock()

    @property
    def spent(self) -> float:
        """All that was spent."""
        return self._spent

    def charge(self, price: float, what: str) -> None:
        """Pays for a call that is about to be made.

        Args:
            price: What it costs.
            what: What is paid for, for the error.

        Raises:
            BudgetError: It would go beyond the limit; nothing is spent.
        """
        if price <= 0:
            return
        self.hold(price, what)
        self.pay(price, price)

    def hold(self, most: float, what: str) -> None:
        """Keeps the greatest possible price of a call free, until `pay` says what it was.

        Raises:
            BudgetError: It might go beyond the limit; nothing is kept.
        """
        with self._lock:
            bound = self._spent + self._held + most
            if most > 0 and self._limit is not None and bound > self._limit + 1e-9:
                raise BudgetError(
                    f"web.budget is {self._limit:g}, {self._spent:g} is spent and a call to {what} "
                    f"costs {most:g}: raise web.budget and run the same command again to go on, "
                    "or replay what was recorded with web.cache=offline"
                )
            self._held += most

    def pay(self, held: float, price: float) -> None:
        """Pays for a call that `hold` kept `held` for."""
        with self._lock:
            self._held -= held
            self._spent += price
            self._unrecorded += price

    def take_unrecorded(self) -> float:
        """What was spent since the last call of this, failed attempts included."""
        with self._lock:
            taken, self._unrecorded = self._unrecorded, 0.0
        return taken
