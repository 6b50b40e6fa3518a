"""How whoever waits for a long computation may see that it is not stuck."""

from collections.abc import Callable

Step = Callable[[], None]
"""Called whenever the work has moved on, at least every second or so; by any thread."""


def unwatched() -> None:
    """Nobody watches."""
