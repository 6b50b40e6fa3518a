"""The freezing as the procedure goes on, and where it would go if it simply went on."""

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise

from scanner_sim.freezing import Cold, FreezeSolver
from scanner_sim.grid import Field
from scanner_sim.schedule import DueScan, PhaseEvent
from scanner_sim.truth import Reach

AHEAD_S = (60, 180, 300)
"""How far truth looks ahead while freezing."""

Ahead = dict[str, Reach]
"""By seconds ahead, as text."""


def course(
    solver: FreezeSolver,
    scans: Sequence[DueScan],
    phases: Sequence[PhaseEvent],
    measure: Callable[[Field], Reach] | None = None,
) -> Iterator[tuple[PhaseEvent, None, Ahead] | tuple[DueScan, Cold, Ahead]]:
    """Phases and scans in order, a scan with what the cold has done by then.

    Looking ahead takes no steps that would not be taken without it, so the cold is the same. While
    freezing lasts, the solver's own state is measured as it passes the times; beyond its end, that
    of a twin that keeps freezing.

    Parameters
    ----------
    solver
        Its clock starts with the first phase.
    measure
        What to know ahead, from a temperature; None looks nowhere and computes each scan only when
        it is asked for.
    """
    start_s = phases[0].at_s
    ends = [*(after.at_s for _, after in pairwise(phases)), None]
    for phase, end_s in zip(phases, ends, strict=True):
        solver.advance(phase.at_s - start_s)
        solver.switch(on=phase.phase == "freeze")
        yield phase, None, {}
        leg = [s for s in scans if s.at_s >= phase.at_s and (end_s is None or s.at_s < end_s)]
        if measure is None or phase.phase != "freeze" or end_s is None:
            for scan in leg:
                solver.advance(scan.at_s - start_s)
                yield scan, solver.cold, {}
            continue
        yield from _with_ahead(solver, leg, start_s, end_s - start_s, measure)


def _with_ahead(
    solver: FreezeSolver,
    leg: Sequence[DueScan],
    start_s: float,
    until_s: float,
    measure: Callable[[Field], Reach],
) -> Iterator[tuple[DueScan, Cold, Ahead]]:
    """The scans of one freeze."""
    watch = sorted({scan.at_s - start_s + ahead for scan in leg for ahead in AHEAD_S})
    known: dict[float, Reach] = {}

    def seen_by(walker: FreezeSolver) -> Callable[[float], None]:
        def seen(at_s: float) -> None:
            known[at_s] = measure(walker.temperature)

        return seen

    colds = []
    for scan in leg:
        solver.advance(scan.at_s - start_s, watch, seen_by(solver))
        colds.append(solver.cold)
    solver.advance(until_s, watch, seen_by(solver))
    if watch and watch[-1] > until_s:
        twin = solver.twin()
        twin.advance(watch[-1], watch, seen_by(twin))
    for scan, cold in zip(leg, colds, strict=True):
        yield scan, cold, {str(s): known[scan.at_s - start_s + s] for s in AHEAD_S}
