"""Makes the numbered steps deadly in every process of a service that has this folder on PYTHONPATH.

Python imports a module of this name first of all. The file that ``DEADLY_ORDER`` names holds an
order: the number of a step, how often it is passed unharmed, and who dies, 0 being the process that
gets there. Whoever carries an order out takes it away first, so that each is carried out once.
"""

import os
import signal
import sys
from pathlib import Path

from dicom_listener import steps

_ORDER = os.environ.get("DEADLY_ORDER", "")
_passed: dict[int, int] = {}


def _reached(_step: steps.Step) -> None:
    """Die here, or kill, if that is the order."""
    try:
        order = Path(_ORDER).stat().st_mtime_ns
        wanted, unharmed, victim = (int(word) for word in Path(_ORDER).read_text().split())
        if _step != wanted:
            return
        _passed[order] = _passed.get(order, 0) + 1
        if _passed[order] <= unharmed:
            return
        Path(_ORDER).rename(f"{_ORDER}.done")
    except FileNotFoundError:
        return
    os.kill(victim or os.getpid(), signal.SIGKILL)


if _ORDER:
    steps.reached = _reached
    if "monitor.cli" in sys.orig_argv:
        from monitor import supervisor

        # Ours die far more often than it thinks likely.
        supervisor.PAUSE_S = 0.0  # type: ignore[misc]  # it is Final for everybody else
