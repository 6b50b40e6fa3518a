"""What each process says on its standard error."""

import logging
import warnings

LOUD = {
    "pynetdicom": logging.CRITICAL,
    "pydicom": logging.ERROR,
    "highdicom": logging.WARNING,
}
"""Libraries that say a line for each association, or each object, and from what level on they may.
pynetdicom writes a peer's bytes and a traceback where an association request is wrong, pydicom two
warnings for a wrong value: any peer could fill the log, and write lines of its own into it. We say
ourselves what was wrong."""


def set_up() -> None:
    """One line a record, from the level info on."""
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname)-7s %(message)s", datefmt="%H:%M:%S"
    )
    hush()


def hush() -> None:
    """Let no library write what a peer has sent; in each process that reads objects."""
    for name, level in LOUD.items():
        logging.getLogger(name).setLevel(level)
    warnings.filterwarnings("ignore", module=r"pydicom\.")
