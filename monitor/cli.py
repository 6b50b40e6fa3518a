"""The command line: ``icemargin serve | demo | simulate | analyse | find | fetch | worklist |
doctor``."""

import argparse
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path

from monitor import __version__, logs
from monitor.config import ConfigError, Settings, load

EXIT_USAGE = 2
EXIT_FAILED = 1

READY = "READY"
"""What ``simulate --announce`` prints when procedure time begins."""

ENDING = "Research software. Not a medical device: it must not be used to guide treatment."


def parser() -> argparse.ArgumentParser:
    """The commands and their options."""
    top = argparse.ArgumentParser(
        prog="icemargin",
        description="Margins of the ice ball during CT-guided renal cryoablation.",
        epilog=ENDING,
    )
    top.add_argument("--version", action="version", version=f"icemargin {__version__}")
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")

    serve = commands.add_parser("serve", help="run the service")
    _config_option(serve)

    demo = commands.add_parser("demo", help="run the service with a simulated procedure")
    _config_option(demo)
    demo.add_argument("--case", default="standard", help="named case (default: standard)")
    demo.add_argument("--speed", type=_speed, default=15.0, help="times real (default: 15)")
    demo.add_argument("--seed", type=int, default=1, help="of everything random (default: 1)")
    demo.add_argument("--anatomy", type=Path, metavar="DIR", help="folder of a real CT")
    demo.add_argument("--no-browser", action="store_true", help="only print the page's address")
    demo.add_argument("--end", action="store_true", help="end when the procedure is over")

    simulate = commands.add_parser("simulate", help="run the simulated scanner alone")
    target = simulate.add_mutually_exclusive_group(required=True)
    target.add_argument("--to", metavar="AE@host:port", help="send by C-STORE")
    target.add_argument("--out", type=Path, metavar="DIR", help="write DICOM files instead")
    target.add_argument("--list", action="store_true", help="list the named cases")
    simulate.add_argument("--case", default="standard", help="named case (default: standard)")
    simulate.add_argument("--speed", type=_speed, default=1.0, help="times real (default: 1)")
    simulate.add_argument("--seed", type=int, default=1, help="of everything random (default: 1)")
    simulate.add_argument("--anatomy", type=Path, metavar="DIR", help="folder of a real CT")
    simulate.add_argument("--truth", action="store_true", help="with --out: write the truth too")
    simulate.add_argument("--start", type=_moment, metavar="TIME", help="RFC 3339 (default: now)")
    simulate.add_argument("--salt", default="", help="another salt makes other UIDs")
    simulate.add_argument(
        "--announce", action="store_true", help="print READY when procedure time begins"
    )
    simulate.add_argument("--page", metavar="URL", help="press freeze and thaw on this page's API")

    analyse = commands.add_parser("analyse", help="measure folders of DICOM files")
    _config_option(analyse)
    analyse.add_argument("folders", nargs="+", type=Path, metavar="DIR")
    analyse.add_argument("--out", type=Path, required=True, metavar="OUT")
    analyse.add_argument("--workers", type=int, default=1, help="processes (default: 1)")

    find = commands.add_parser("find", help="find studies in an archive")
    _config_option(find)
    _node_option(find)
    find.add_argument("--patient-id", default="", metavar="ID", help="of this patient")
    find.add_argument("--study", default="", metavar="UID", help="this study, with its series")
    find.add_argument("--date", default="", help="of these days: 20260301, 20260301-20260331")

    fetch = commands.add_parser("fetch", help="have a study sent to the service")
    _config_option(fetch)
    _node_option(fetch)
    fetch.add_argument("study", metavar="STUDY_UID")
    fetch.add_argument("--series", default="", metavar="UID", help="only this series of it")

    worklist = commands.add_parser("worklist", help="who is planned for today")
    _config_option(worklist)

    doctor = commands.add_parser("doctor", help="check configuration, ports, disk, clock, peers")
    _config_option(doctor)
    doctor.add_argument(
        "--peer", action="append", default=[], metavar="AE@host:port", help="call by C-ECHO"
    )
    return top


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; its exit status."""
    options = parser().parse_args(arguments)
    logs.set_up()
    try:
        return int(_COMMANDS[options.command](options))
    except ConfigError as error:
        print(error, file=sys.stderr)
        return EXIT_USAGE
    except KeyboardInterrupt:
        return EXIT_FAILED


def _config_option(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--config", type=Path, metavar="FILE", help="config.yaml (default: built-in values)"
    )


def _node_option(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--node", default="", metavar="NAME", help="archive.nodes' name (default: the only one)"
    )


def _speed(text: str) -> float:
    value = float(text)
    if not 0 < value <= 1000:
        raise argparse.ArgumentTypeError("must be above 0 and at most 1000")
    return value


def _moment(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is not an RFC 3339 time") from error
    return moment.astimezone() if moment.tzinfo is None else moment


def _settings(options: argparse.Namespace) -> Settings:
    return load(options.config)


def _serve(options: argparse.Namespace) -> int:
    settings = _settings(options)  # before all imports: a wrong key is told at once
    from monitor.starting import StartError
    from monitor.supervisor import serve

    try:
        serve(settings)
    except StartError as error:
        print(error, file=sys.stderr)
        return EXIT_FAILED
    return 0


def _demo(options: argparse.Namespace) -> int:
    from monitor.demo import demo
    from monitor.simulate import SimulationError, case_named
    from monitor.starting import StartError

    try:
        case_named(options.case)
        return demo(
            _settings(options),
            case=options.case,
            speed=options.speed,
            seed=options.seed,
            anatomy=options.anatomy,
            browser=not options.no_browser,
            stay=not options.end,
        )
    except (StartError, SimulationError) as error:
        print(error, file=sys.stderr)
        return EXIT_FAILED


def _simulate(options: argparse.Namespace) -> int:
    from monitor import simulate
    from scanner_sim.push import Destination

    if options.list:
        print("\n".join(simulate.case_lines()))
        return 0
    stop = threading.Event()
    _on_end(stop)
    try:
        simulation = simulate.Simulation(
            case=simulate.case_named(options.case),
            seed=options.seed,
            start=options.start or datetime.now().astimezone(),
            salt=options.salt,
            anatomy=options.anatomy,
        )
        if options.out is not None:
            simulate.write(simulation, options.out, with_truth=options.truth)
            print(f"Written to {options.out}")
            return 0
        destination = Destination.parse(options.to)

        def ready() -> None:
            if options.announce:
                print(READY, flush=True)

        simulate.send(simulation, destination, options.speed, stop, ready=ready, page=options.page)
    except (simulate.SimulationError, ValueError) as error:
        print(error, file=sys.stderr)
        return EXIT_FAILED
    return 0


def _analyse(options: argparse.Namespace) -> int:
    from monitor.analyse import analyse, table

    absent = [folder for folder in options.folders if not folder.is_dir()]
    if absent:
        print(f"{absent[0]}: no such folder", file=sys.stderr)
        return EXIT_USAGE
    outcome = analyse(options.folders, options.out, _settings(options), workers=options.workers)
    print(table(outcome))
    print(f"\n{len(outcome.measurements)} series in {outcome.seconds:.1f} s; see {options.out}")
    print(ENDING)
    return 0


def _find(options: argparse.Namespace) -> int:
    from dicom_listener.fetch import StudyQuery
    from monitor.remote import find

    query = StudyQuery(options.patient_id.strip(), options.study, options.date)
    return _remote(lambda: find(_settings(options), options.node, query, print))


def _fetch(options: argparse.Namespace) -> int:
    from monitor.remote import fetch

    stop = threading.Event()
    _on_end(stop)
    settings = _settings(options)
    return _remote(
        lambda: fetch(settings, options.node, options.study, options.series, print, stop.is_set)
    )


def _worklist(options: argparse.Namespace) -> int:
    from monitor.remote import worklist

    return _remote(lambda: worklist(_settings(options), print))


def _remote(command: Callable[[], bool]) -> int:
    """Carry out what asks another system; its failures are one line each."""
    from dicom_listener.fetch import QueryError
    from dicom_listener.nodes import CallError
    from dicom_listener.tls import TlsError
    from monitor.remote import RemoteError

    try:
        return 0 if command() else EXIT_FAILED
    except (QueryError, RemoteError) as error:
        print(error, file=sys.stderr)
        return EXIT_USAGE
    except (CallError, TlsError) as error:
        print(error, file=sys.stderr)
        return EXIT_FAILED


def _on_end(stop: threading.Event) -> None:
    """Let the first signal to end set an event."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())


def _doctor(options: argparse.Namespace) -> int:
    from monitor.doctor import examine, parse_node

    try:
        peers = [parse_node(text) for text in options.peer]
    except ValueError as error:
        print(error, file=sys.stderr)
        return EXIT_USAGE
    checks = list(examine(_settings(options), peers))
    for check in checks:
        mark = "BAD " if not check.well else "SOON" if check.soon else "ok  "
        print(f"{mark} {check.name}: {check.found}")
        if check.soon or not check.well:
            print(f"     {check.mend}")
    return 0 if all(check.well for check in checks) else EXIT_FAILED


_COMMANDS = {
    "serve": _serve,
    "demo": _demo,
    "simulate": _simulate,
    "analyse": _analyse,
    "find": _find,
    "fetch": _fetch,
    "worklist": _worklist,
    "doctor": _doctor,
}

if __name__ == "__main__":
    sys.exit(main())
