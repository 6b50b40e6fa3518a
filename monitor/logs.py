"""What each process says on its standard error."""

import logging

LOUD = ("pynetdicom", "highdicom")
"""Libraries that say a line for each association, or each object; their faults still show."""


def set_up() -> None:
    """One line a record, from the level info on."""
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname)-7s %(message)s", datefmt="%H:%M:%S"
    )
    for name in LOUD:
        logging.getLogger(name).setLevel(logging.WARNING)
