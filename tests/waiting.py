"""Waiting on conditions, never on the clock alone."""

import time
from collections.abc import Callable
from typing import TypeVar

PATIENCE_S = 45.0
"""Long enough for a busy machine; what is waited for mostly comes in a second."""

T = TypeVar("T")


def until(look: Callable[[], T | None], what: str, patience_s: float = PATIENCE_S) -> T:
    """Look again and again until something true is seen, and return it."""
    end = time.monotonic() + patience_s
    while True:
        seen = look()
        if seen:
            return seen
        assert time.monotonic() < end, f"waited in vain: {what}"
        time.sleep(0.01)
