"""Addresses of one service in, the one to ask next out. Knows no HTTP and no dialect.

The least busy one is taken, in turn where several are. One that failed is rested, longer each time,
and must pass a health check before it is asked again; if all rest, the one that is due first is.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

__all__ = ["Endpoint", "Router"]

_FIRST_REST_S = 2.0
_LONGEST_REST_S = 120.0


@dataclass(slots=True)
class Endpoint:
    """One address and how it has been doing.

    Attributes:
        busy: Requests under way.
        failures: In a row; 0 is well.
        resting_until: By the router's clock; 0 where it does not rest.
        turn: When it was last taken, by number.
    """

    url: str
    busy: int = 0
    failures: int = 0
    resting_until: float = 0.0
    turn: int = 0


class Router:
    """Chooses among endpoints. Safe to call from many threads."""

    def __init__(
        self,
        urls: Sequence[str],
        healthy: Callable[[str], bool],
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Take the addresses.

        Args:
            healthy: Asks an address whether it is well; called outside all locks.
            clock: Seconds that only go up.
        """
        self._endpoints = tuple(Endpoint(url) for url in urls)
        self._healthy = healthy
        self._clock = clock
        self._lock = threading.Lock()
        self._turn = 0

    @property
    def endpoints(self) -> tuple[Endpoint, ...]:
        """All of them, in the order given."""
        return self._endpoints

    def take(self, passed: Collection[str] = ()) -> Endpoint:
        """Return the endpoint to ask and count it as busy; ``give_back`` ends that.

        Args:
            passed: Addresses to take only if there is no other that does not rest.
        """
        while True:
            with self._lock:
                chosen = self._chosen(passed)
                self._turn += 1
                chosen.turn = self._turn
                chosen.busy += 1
                # Alone, it is asked without a check: there is nobody to ask instead.
                check = bool(chosen.failures) and len(self._endpoints) > 1 and self._due(chosen)
                if check:
                    # Others shall not wait for the same check.
                    chosen.resting_until = self._clock() + _rest_s(chosen.failures)
            if not check:
                return chosen
            well = self._healthy(chosen.url)
            with self._lock:
                if well:
                    chosen.resting_until = 0.0
                    return chosen
                chosen.busy -= 1
                self._rest(chosen, 0.0)

    def give_back(self, endpoint: Endpoint) -> None:
        """Count one request less."""
        with self._lock:
            endpoint.busy -= 1

    def succeeded(self, endpoint: Endpoint) -> None:
        """Forget an endpoint's failures."""
        with self._lock:
            endpoint.failures = 0
            endpoint.resting_until = 0.0

    def failed(self, endpoint: Endpoint, wanted_s: float = 0.0) -> None:
        """Let an endpoint rest, at least for the seconds it asked for."""
        with self._lock:
            self._rest(endpoint, wanted_s)

    def another(self, passed: Collection[str]) -> bool:
        """Say whether an endpoint that is not among these could be asked right now."""
        with self._lock:
            return any(e.url not in passed and self._due(e) for e in self._endpoints)

    def _chosen(self, passed: Collection[str]) -> Endpoint:
        due = [e for e in self._endpoints if self._due(e)]
        fresh = [e for e in due if e.url not in passed]
        if fresh or due:
            return min(fresh or due, key=lambda e: (e.busy, e.turn))
        return min(self._endpoints, key=lambda e: (e.resting_until, e.turn))

    def _due(self, endpoint: Endpoint) -> bool:
        return endpoint.resting_until <= self._clock()

    def _rest(self, endpoint: Endpoint, wanted_s: float) -> None:
        endpoint.failures += 1
        rest = max(_rest_s(endpoint.failures), wanted_s)
        endpoint.resting_until = self._clock() + rest


def _rest_s(failures: int) -> float:
    """Return how long to rest after so many failures: doubled each time, up to a bound."""
    return float(min(_FIRST_REST_S * 2.0 ** min(failures - 1, 16), _LONGEST_REST_S))
