"""``icemargin doctor``: checks what the service needs and says what to mend."""

import os
import shutil
import socket
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from dicom_listener import client
from dicom_listener.nodes import CallCode, CallError, Node, Ourselves
from dicom_listener.tls import TlsError, server_context
from monitor import plugin
from monitor.certificates import CertificateError, valid_until
from monitor.config import Settings
from monitor.journal import Journal, JournalError
from monitor.nodes import archive_nodes, peer_nodes, tls_settings, worklist_node
from monitor.receiver import MEGABYTE
from web_ui import PAGE

ECHO_TIMEOUT_S = 3.0
RENEW_DAYS = 30
"""A certificate that expires sooner is told of: issuing one takes a hospital weeks."""
SANE_SINCE = datetime(2024, 1, 1).astimezone()
"""A clock before this has not been set."""


@dataclass(frozen=True)
class Check:
    """One thing looked at: whether it is well, what was found, and what to do if not."""

    name: str
    well: bool
    found: str
    mend: str = ""
    soon: bool = False
    """It is well, but will not stay so unless something is done."""


def parse_node(text: str) -> Node:
    """A DICOM application from ``AE@host:port``.

    Raises
    ------
    ValueError
        It is not written so.
    """
    title, at, address = text.partition("@")
    host, colon, port = address.rpartition(":")
    if not (title and at and host and colon and port.isdecimal() and port.isascii()):
        raise ValueError(f"{text!r} is not AE@host:port")
    if len(title) > 16 or not 1 <= int(port) <= 65535:
        raise ValueError(f"{text!r}: an AE title has up to 16 characters, a port is 1 to 65535")
    return Node("The peer", title, host.strip("[]"), int(port))


def examine(settings: Settings, peers: Sequence[Node]) -> Iterator[Check]:
    """All checks, one after the other; nothing is left behind.

    C-ECHO goes to whom the configuration names, and to ``peers``.
    """
    yield _storage(settings.storage.directory)
    yield _space(settings)
    yield _database(settings)
    yield _port("DICOM port", settings.dicom.host, settings.dicom.port, "dicom.port")
    if settings.tls.certificate is not None:
        yield _port("DICOM port with TLS", settings.dicom.host, settings.tls.port, "tls.port")
        yield certificates(settings)
    yield _port("Page's port", settings.web.host, settings.web.port, "web.port")
    yield _page()
    yield _clock()
    if settings.plugins.structures:
        yield _plugin(settings.plugins.structures)
    try:
        known = [*peer_nodes(settings), *archive_nodes(settings)]
        worklist = worklist_node(settings)
    except TlsError as error:
        yield Check("Calls by TLS", well=False, found=str(error), mend="See tls in config.yaml.")
        known, worklist = [], None
    for node in (*known, *([worklist] if worklist else []), *peers):
        yield echo(node, settings.dicom.ae_title)


def _storage(directory: Path) -> Check:
    name = "Storage folder"
    mend = "Give storage.directory a folder that this user may write to."
    existing = next(p for p in (directory.absolute(), *directory.absolute().parents) if p.exists())
    if not existing.is_dir() or not os.access(existing, os.W_OK | os.X_OK):
        return Check(name, well=False, found=f"{directory} can't be written", mend=mend)
    return Check(name, well=True, found=f"{directory} can be written")


def _space(settings: Settings) -> Check:
    directory = settings.storage.directory.absolute()
    existing = next(p for p in (directory, *directory.parents) if p.exists())
    free_mb = shutil.disk_usage(existing).free / MEGABYTE
    floor_mb = settings.storage.minimum_free_mb
    found = f"{free_mb:.0f} MB free, floor {floor_mb} MB"
    return Check("Disk space", free_mb > floor_mb, found, "Make room, or scans will be refused.")


def _database(settings: Settings) -> Check:
    url = settings.database_url
    if url.startswith("sqlite") and not Path(settings.storage.directory).exists():
        return Check("Database", well=True, found="will be created on the first start")
    try:
        journal = Journal(url)
        try:
            journal.check()
        finally:
            journal.close()
    except JournalError as error:
        return Check("Database", well=False, found=str(error), mend="See storage.database_url.")
    return Check("Database", well=True, found="can be written")


def _port(name: str, host: str, port: int, key: str) -> Check:
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        with socket.socket(family, socket.SOCK_STREAM) as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind((host, port))
    except OSError as error:
        found = f"{host}:{port} can't be used ({error.strerror or error})"
        mend = f"Unless icemargin itself is running already, choose another {key}."
        return Check(name, well=False, found=found, mend=mend)
    return Check(name, well=True, found=f"{host}:{port} is free")


def _page() -> Check:
    built = (PAGE / "index.html").exists()
    found = "is built" if built else "is not built"
    return Check("Page", built, found, "Install again without ICEMARGIN_SKIP_PAGE.")


def _clock() -> Check:
    now = datetime.now().astimezone()
    mend = "Set the clock; ages of scans are computed from it."
    return Check("Clock", now > SANE_SINCE, f"{now:%Y-%m-%d %H:%M:%S %z}", mend)


def _plugin(name: str) -> Check:
    why = plugin.problem(name)
    mend = "See plugins.structures; marking by hand works without it."
    return Check("Plug-in for structures", not why, why or f"{name} can run", mend)


def certificates(settings: Settings) -> Check:
    """The files of TLS."""
    name = "Certificates"
    files = tls_settings(settings)
    assert files is not None
    try:
        server_context(files)
        until = valid_until(files.certificate, files.key, files.authorities)
    except (TlsError, CertificateError) as error:
        mend = "See tls in config.yaml, and ask who issued them."
        return Check(name, well=False, found=str(error), mend=mend)
    left = until - datetime.now().astimezone()
    return Check(
        name,
        well=True,
        found=f"are valid until {until:%Y-%m-%d}",
        mend="Have them renewed: no peer can call by TLS after that day.",
        soon=left < timedelta(days=RENEW_DAYS),
    )


def echo(node: Node, calling_ae_title: str) -> Check:
    """C-ECHO to a peer."""
    name = f"C-ECHO to {node.name} ({node})"
    caller = Ourselves(calling_ae_title, connect_s=ECHO_TIMEOUT_S, answer_s=ECHO_TIMEOUT_S)
    try:
        seconds = client.echo(node, caller)
    except CallError as error:
        return Check(name, well=False, found=error.text, mend=_MENDS[error.code])
    return Check(name, well=True, found=f"answers in {seconds * 1000:.0f} ms")


_MENDS: dict[CallCode, str] = {
    "unreachable": "Check address, port and firewall, and that the peer is running.",
    "timed_out": "Check address, port and firewall, and that the peer is running.",
    "tls": "Check the certificates of both sides; see tls in config.yaml.",
    "rejected": "Check both AE titles here and in the peer's list.",
    "no_context": "Let the peer's owner enable verification (C-ECHO) for us.",
    "aborted": "Check that the port is the peer's DICOM port, and whether it wants TLS.",
    "refused": "Ask the peer's owner.",
}
