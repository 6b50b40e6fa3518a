"""How fast whole scans are taken in, durably, beside other receivers and under load."""

import logging
import statistics
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import pydicom

from benchmarks.busy import BusyService
from benchmarks.certificates import Certificate
from benchmarks.enhanced import SIZE, write_enhanced
from benchmarks.machine import CORES, few_cores, warn_if_busy
from benchmarks.processes import MEGABYTE, PeakMemory, listener_of
from benchmarks.receivers import orthanc, storescp
from benchmarks.sending import Slices, Speed, send, start_s
from benchmarks.served import Service, served
from benchmarks.simulated import Stored, stored
from benchmarks.stalled import stalled_peers, stalled_tls_peers
from benchmarks.tables import figure, table
from benchmarks.timed import SEED, thick

SLICES = 300
FRAMES = 512
STALLED = 50
"""Half of them plain, half over TLS."""


LEAST_MB_S = 118.0
"""1 Gb/s: what a scanner's network gives."""

LEAST_OF_TWO = 1.5
"""Speed of two scanners at once over that of one."""

MOST_MEMORY_MB = 150.0
"""More than before, while one object of ``FRAMES`` frames comes in."""

LEAST_BESIDE_STALLED = 0.8
"""Speed beside stalled peers over that without."""

OURS, ORTHANC, STORESCP = "icemargin", "Orthanc", "storescp"
WARM_UP = 1
"""First sendings that are not counted."""


@dataclass(frozen=True)
class Options:
    """How much to run.

    Attributes
    ----------
    repeats
        Sendings to each receiver that count.
    scans
        Analyses that are under way meanwhile.
    quick
        Fewer slices and frames: says whether it works, not how fast it is.
    keep
        Where simulated files are kept and found again; none throws them away.
    """

    repeats: int = 7
    scans: int = 16
    quick: bool = False
    keep: Path | None = None


QUICK = Options(repeats=2, scans=6, quick=True)


@dataclass(frozen=True)
class Memory:
    """Of the listener while one large object came in; bytes more than before."""

    octets: int
    anonymous_bytes: int
    total_bytes: int
    seconds: float


@dataclass(frozen=True)
class Receiving:
    """What one run found.

    Attributes
    ----------
    busy
        By receiver, while scans are analysed on the same machine.
    always_busy
        Whether the analyses went on to the end of each of these sendings.
    one, two, beside_stalled
        Ours while nothing is analysed: from one scanner, from two at once, and from one beside
        stalled peers.
    lost
        Slices that were not in the spool although their sender had ended well.
    """

    busy: dict[str, Speed]
    always_busy: bool
    one: Speed
    two: Speed
    beside_stalled: Speed
    two_busy: Speed
    lost: int
    memory: Memory
    cores: int
    quick: bool

    @property
    def of_two(self) -> float:
        """Speed from two scanners over that from one."""
        return self.two.net_mb_s / self.one.net_mb_s

    @property
    def of_stalled(self) -> float:
        """Speed beside stalled peers over that without."""
        return self.beside_stalled.net_mb_s / self.one.net_mb_s

    @property
    def failures(self) -> tuple[str, ...]:
        """A sentence for each target that is missed; a quick run is only judged on losses."""
        texts = []
        if self.lost:
            texts.append(f"{self.lost} slices were lost.")
        if self.quick:
            return tuple(texts)
        ours, theirs = self.busy[OURS].net_mb_s, self.busy[ORTHANC].net_mb_s
        extra_mb = self.memory.anonymous_bytes / MEGABYTE
        if not self.always_busy:
            texts.append("The analyses ended before the sending; the figures say too much.")
        if ours < LEAST_MB_S:
            texts.append(f"{ours:.0f} MB/s, at least {LEAST_MB_S:.0f}.")
        if ours < theirs:
            texts.append(f"{ours:.0f} MB/s, and Orthanc {theirs:.0f}.")
        if self.of_two < LEAST_OF_TWO:
            texts.append(f"Two scanners: {self.of_two:.2f} times one, at least {LEAST_OF_TWO:g}.")
        if self.of_stalled < LEAST_BESIDE_STALLED:
            texts.append(
                f"Beside {STALLED} stalled peers: {self.of_stalled:.2f} of the speed without, at "
                f"least {LEAST_BESIDE_STALLED:g}."
            )
        if extra_mb > MOST_MEMORY_MB:
            texts.append(f"{extra_mb:.0f} MB of extra memory, at most {MOST_MEMORY_MB:.0f}.")
        return tuple(texts)


def run(options: Options) -> Receiving:
    """Run and print; what was found."""
    with ExitStack() as stack:
        scratch = Path(stack.enter_context(TemporaryDirectory(prefix="icemargin-bench-")))
        keep = options.keep or scratch / "simulated"
        keep.mkdir(parents=True, exist_ok=True)
        logging.getLogger("pynetdicom").setLevel(logging.WARNING)
        procedure = stored(thick(), SEED, keep)
        warn_if_busy()
        cores = stack.enter_context(few_cores())
        found = _Bench(options, procedure, scratch, cores).run()
    print(as_markdown(found), flush=True)
    if cores > CORES:
        print(f"(The targets are for {CORES} cores; here were {cores}.)")
    for text in found.failures:
        print(f"MISSED  {text}")
    return found


class _Bench:
    """One run: the slices of two scanners, and where they are sent."""

    def __init__(self, options: Options, procedure: Stored, scratch: Path, cores: int) -> None:
        self._options = options
        self._procedure = procedure
        self._scratch = scratch
        self._cores = cores
        self._lost = 0
        count = SLICES // 10 if options.quick else SLICES
        self._scanners = [Slices(scratch / f"scanner{n}", n, count) for n in (1, 2)]
        freeze = sorted(procedure.files.iterdir())[3]
        template = pydicom.dcmread(min(freeze.glob("*.dcm")))
        for scanner in self._scanners:
            scanner.write(template)
        self._start_s = {n: self._measured_start(n) for n in (1, 2)}

    def run(self) -> Receiving:
        """Everything, one after the other."""
        busy, two_busy, always_busy = self._beside_analyses()
        one, two, beside_stalled = self._idle()
        return Receiving(
            busy,
            always_busy,
            one,
            two,
            beside_stalled,
            two_busy,
            lost=self._lost,
            memory=self._memory(),
            cores=self._cores,
            quick=self._options.quick,
        )

    def _beside_analyses(self) -> tuple[dict[str, Speed], Speed, bool]:
        """To all receivers in turns, while the service analyses scans all the time."""
        with ExitStack() as stack:
            service = stack.enter_context(served(self._scratch / "busy"))
            busy = BusyService(service, self._procedure, self._options.scans)
            stays = []

            def beside(way: Callable[[], float]) -> Callable[[], float]:
                def sent() -> float:
                    busy.analyse_again()
                    seconds = way()
                    stays.append(busy.is_busy)
                    return seconds

                return sent

            first = [self._scanners[0].folder]
            to_orthanc = stack.enter_context(orthanc(self._scratch / "orthanc"))
            to_storescp = stack.enter_context(storescp(self._scratch / "storescp"))
            found = self._in_turns(
                {
                    OURS: beside(lambda: self._ours(service, "busy", 1)),
                    ORTHANC: beside(lambda: send(to_orthanc, first)),
                    STORESCP: beside(lambda: send(to_storescp, first)),
                    "two": beside(lambda: self._ours(service, "busy", 2)),
                }
            )
        two = self._speed(found.pop("two"), 2)
        return {name: self._speed(s, 1) for name, s in found.items()}, two, all(stays)

    def _idle(self) -> tuple[Speed, Speed, Speed]:
        """To a service that has nothing to analyse."""
        # So that the peers that stall are let in at all.
        settings = {"DICOM__MAXIMUM_ASSOCIATIONS": str(2 * STALLED)}
        certificate = Certificate.make(self._scratch)
        with served(self._scratch / "idle", settings | certificate.settings()) as service:
            port, title = service.destination.port, service.destination.ae_title
            secure, context = service.tls_port, certificate.client()
            assert secure is not None

            def beside_stalled() -> float:
                with (
                    stalled_peers(STALLED // 2, port, title),
                    stalled_tls_peers(STALLED // 2, secure, title, context),
                ):
                    return self._ours(service, "idle", 1)

            found = self._in_turns(
                {
                    "one": lambda: self._ours(service, "idle", 1),
                    "two": lambda: self._ours(service, "idle", 2),
                    "stalled": beside_stalled,
                }
            )
        return (
            self._speed(found["one"], 1),
            self._speed(found["two"], 2),
            self._speed(found["stalled"], 1),
        )

    def _memory(self) -> Memory:
        """Of the listener, while one enhanced object comes."""
        frames = FRAMES // 10 if self._options.quick else FRAMES
        folder = self._scratch / "enhanced"
        folder.mkdir()
        write_enhanced(folder / "scan.dcm", frames)
        with served(self._scratch / "memory") as service:
            self._scanners[0].renew()
            self._ours(service, "memory", 1)  # what any object takes is there before
            pid = listener_of(service.pid, service.destination.port)
            with PeakMemory(pid) as peak:
                seconds = send(service.destination, [folder])
        return Memory(
            octets=(folder / "scan.dcm").stat().st_size,
            anonymous_bytes=peak.anonymous_bytes - peak.before_bytes,
            total_bytes=peak.total_bytes - peak.total_before_bytes,
            seconds=seconds,
        )

    # Sending

    def _in_turns(self, ways: dict[str, Callable[[], float]]) -> dict[str, list[float]]:
        """Seconds of each way, interleaved, the first ones not counted."""
        found: dict[str, list[float]] = {name: [] for name in ways}
        for repeat in range(-WARM_UP, self._options.repeats):
            for name, way in ways.items():
                for scanner in self._scanners:
                    scanner.renew()
                seconds = way()
                if repeat >= 0:
                    found[name].append(seconds)
            if repeat >= 0:
                last = "  ".join(f"{name} {seconds[-1]:.2f} s" for name, seconds in found.items())
                print(f"{repeat + 1}/{self._options.repeats}  {last}", flush=True)
        return found

    def _ours(self, service: Service, name: str, scanners: int) -> float:
        senders = self._scanners[:scanners]
        seconds = send(service.destination, [sender.folder for sender in senders])
        for sender in senders:
            there = list((self._scratch / name / "objects").glob(f"*/{sender.series_uid}/*.dcm"))
            self._lost += sender.count - len(there)
        return seconds

    def _speed(self, seconds: Sequence[float], scanners: int) -> Speed:
        octets = sum(scanner.octets for scanner in self._scanners[:scanners])
        return Speed(octets, tuple(seconds), self._start_s[scanners])

    def _measured_start(self, scanners: int) -> float:
        folders = [scanner.folder for scanner in self._scanners[:scanners]]
        return statistics.median(start_s(folders) for _ in range(5))


def as_markdown(found: Receiving) -> str:
    """Speeds, ratios and memory beside what was asked."""
    ours = found.busy[OURS]
    count = SLICES // 10 if found.quick else SLICES
    rows = [
        _row("icemargin, durable", ours, found, f">= {LEAST_MB_S:.0f} and >= Orthanc"),
        _row("Orthanc, durable", found.busy[ORTHANC], found),
        _row("storescp, not durable", found.busy[STORESCP], found),
        _row("icemargin, two scanners", found.two_busy, found),
    ]
    idle = [
        _row("one scanner", found.one, found),
        _row("two scanners at once", found.two, found, f">= {LEAST_OF_TWO:g} times one"),
        _row(
            f"one, beside {STALLED} stalled peers",
            found.beside_stalled,
            found,
            f">= {LEAST_BESIDE_STALLED:g} of one",
        ),
    ]
    memory = found.memory
    columns = ("", "MB/s", "least", "most", "with the sender's start", "ratio", "asked")
    return "\n".join(
        [
            "",
            f"{count} slices of {SIZE} x {SIZE} on one association ({ours.octets / MEGABYTE:.0f} "
            f"MB) while scans are analysed, {found.cores} cores; median of {len(ours.seconds)}, "
            "in turns; ratios to icemargin",
            "",
            table(columns, rows),
            "",
            "Ours while nothing is analysed; ratios to one scanner",
            "",
            table(columns, idle),
            "",
            f"Slices lost: {found.lost} (asked: 0)",
            f"One object of {memory.octets / MEGABYTE:.0f} MB in {memory.seconds:.2f} s: "
            f"{memory.anonymous_bytes / MEGABYTE:.0f} MB of extra memory (asked: < "
            f"{MOST_MEMORY_MB:.0f}), {memory.total_bytes / MEGABYTE:.0f} MB with the pages of "
            "mapped files",
        ]
    )


def _row(name: str, speed: Speed, found: Receiving, asked: str = "") -> tuple[str, ...]:
    of = found.one if speed in (found.one, found.two, found.beside_stalled) else found.busy[OURS]
    each = speed.each_mb_s
    return (
        name,
        figure(speed.net_mb_s, ".0f"),
        figure(min(each), ".0f"),
        figure(max(each), ".0f"),
        figure(speed.gross_mb_s, ".0f"),
        figure(speed.net_mb_s / of.net_mb_s, ".2f"),
        asked,
    )
