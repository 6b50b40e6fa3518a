"""``icemargin simulate``: the simulated scanner, sending a procedure or writing it to files."""

import json
import logging
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from scanner_sim.cases import CASES, Case
from scanner_sim.play import play
from scanner_sim.procedure import Event, PhaseEvent, ScanEvent, run_procedure
from scanner_sim.push import Destination, Pusher, PushError
from scanner_sim.write import ProcedureWriter

REQUEST_TIMEOUT_S = 10.0

logger = logging.getLogger(__name__)


class SimulationError(RuntimeError):
    """The procedure can't be simulated or sent; the message says why."""


@dataclass(frozen=True)
class Simulation:
    """What to simulate.

    Attributes
    ----------
    start
        Procedure time 0; aware.
    salt
        Another salt makes other UIDs of the same procedure.
    anatomy
        Folder of a real CT, for the cases that need one.
    """

    case: Case
    seed: int
    start: datetime
    salt: str = ""
    anatomy: Path | None = None


def case_named(name: str) -> Case:
    """The named case.

    Raises
    ------
    SimulationError
        There is none of this name; the message lists them.
    """
    if name not in CASES:
        raise SimulationError(f"There is no case {name!r}; there are {', '.join(CASES)}.")
    return CASES[name]


def case_lines() -> list[str]:
    """The named cases with their descriptions, a line each."""
    shown = [case for case in CASES.values() if not case.for_tests]
    width = max(len(case.name) for case in shown) + 2
    return [f"{case.name:<{width}}{case.description}" for case in shown]


def write(simulation: Simulation, directory: Path, *, with_truth: bool) -> None:
    """Write all files of the procedure; the truth goes to ``<directory>-truth``."""
    truth = directory.with_name(f"{directory.name}-truth") if with_truth else None
    writer = ProcedureWriter(directory, truth)
    for event in _events(simulation, with_truth=with_truth):
        writer.write(event)


def send(
    simulation: Simulation,
    destination: Destination,
    speed: float,
    stop: threading.Event,
    *,
    ready: Callable[[], None] = lambda: None,
    page: str | None = None,
    say: Callable[[str], None] = logger.info,
) -> None:
    """Send the procedure by C-STORE, ``speed`` times as fast as real.

    Parameters
    ----------
    ready
        Called when procedure time begins: the first scan has then been computed.
    page
        Address of the running service, on which freeze and thaw are pressed as the radiographer
        would; none presses nothing.

    Raises
    ------
    SimulationError
        The peer can't be reached or refuses an object.
    """
    pusher = Pusher(destination, stop=stop)

    def on_event(event: Event) -> None:
        minutes, seconds = divmod(int(event.at_s), 60)
        if isinstance(event, PhaseEvent):
            say(f"{minutes:3d}:{seconds:02d}  {event.phase}")
            if page is not None:
                press_phase(page, event.phase)
            return
        label = event.label if isinstance(event, ScanEvent) else "structures"
        count = pusher.event(event)
        say(f"{minutes:3d}:{seconds:02d}  sent {label} ({count} objects)")

    try:
        play(_events(simulation, with_truth=False), speed, on_event, stop, ready)
    except PushError as error:
        raise SimulationError(str(error)) from error


def _events(simulation: Simulation, *, with_truth: bool) -> Iterator[Event]:
    try:
        return run_procedure(
            simulation.case,
            seed=simulation.seed,
            start=simulation.start,
            salt=simulation.salt,
            anatomy_dir=simulation.anatomy,
            with_truth=with_truth,
        )
    except ValueError as error:
        raise SimulationError(f"{error}.") from error


def press_phase(page: str, phase: str) -> None:
    """Press a phase for the newest procedure through the API.

    Raises
    ------
    SimulationError
        The service did not take it.
    """
    try:
        with urllib.request.urlopen(  # noqa: S310  an address that we printed ourselves
            f"{page}api/v1/procedures", timeout=REQUEST_TIMEOUT_S
        ) as answer:
            procedures = json.load(answer)
        if not procedures:
            logger.warning("No procedure is open yet; %s is not pressed", phase)
            return
        request = urllib.request.Request(  # noqa: S310  the same
            f"{page}api/v1/procedures/{procedures[0]['id']}/phase",
            data=json.dumps({"phase": phase}).encode(),
            headers={"Content-Type": "application/json"},
            method="POST",
        )
        with urllib.request.urlopen(request, timeout=REQUEST_TIMEOUT_S):  # noqa: S310
            pass
    except (urllib.error.URLError, TimeoutError) as error:
        raise SimulationError(f"{phase} could not be pressed on {page}: {error}") from error
