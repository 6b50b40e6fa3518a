"""The numbered steps of receiving, at each of which everything may die.

``reached`` does nothing: it marks the places where a test ends a process by force, so that the
tests of that and the code can't drift apart. What holds after a death at each step is in
``docs/receiving.md``.
"""

import enum


class Step(enum.IntEnum):
    """Steps in the order in which an object takes them."""

    ACCEPTED = 1
    """The association is accepted; nothing was sent on it."""
    BEGUN = 2
    """The first bytes of an object are there."""
    SPILLED = 3
    """A large object goes on in a file."""
    RECEIVED = 4
    """All bytes are there, unchecked."""
    CHECKED = 5
    """It is known to be whole, and what it claims to be."""
    WRITTEN = 6
    """It is in a file under a temporary name, not yet durable."""
    SYNCED = 7
    """The file is durable under its temporary name."""
    RENAMED = 8
    """It has its name, which is not yet durable."""
    NAMED = 9
    """It is durable under its name."""
    ENTERED = 10
    """It is in the ledger, not yet durable there."""
    JOURNALED = 11
    """It is durable in the ledger."""
    ANSWERED = 12
    """Success was sent."""
    TAKEN = 13
    """The pipeline has read it from the ledger."""
    COMPLETED = 14
    """Its series was found complete."""
    ANALYSED = 15
    """The analysis of its scan has answered."""
    MEASURED = 16
    """The measurement is durable in the journal; whether anybody was shown it is open."""


def reached(_step: Step) -> None:
    """Mark that a step was reached."""
