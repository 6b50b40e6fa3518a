"""``icemargin doctor``: checks what the service needs and says what to mend."""

import os
import shutil
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from pynetdicom import AE
from pynetdicom.sop_class import Verification  # type: ignore[attr-defined]  # made at run time

from monitor.config import Settings
from monitor.journal import Journal, JournalError
from monitor.receiver import MEGABYTE
from web_ui import PAGE

ECHO_TIMEOUT_S = 3.0
SANE_SINCE = datetime(2024, 1, 1).astimezone()
"""A clock before this has not been set."""


@dataclass(frozen=True)
class Check:
    """One thing looked at: whether it is well, what was found, and what to do if not."""

    name: str
    well: bool
    found: str
    mend: str = ""


@dataclass(frozen=True)
class Peer:
    """A DICOM peer to call by C-ECHO, written AE@host:port."""

    ae_title: str
    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> "Peer":
        """From ``AE@host:port``.

        Raises
        ------
        ValueError
            It is not written so.
        """
        title, at, address = text.partition("@")
        host, colon, port = address.rpartition(":")
        if not (title and at and host and colon and port.isdigit()):
            raise ValueError(f"{text!r} is not AE@host:port")
        return cls(title, host.strip("[]"), int(port))


def examine(settings: Settings, peers: list[Peer]) -> Iterator[Check]:
    """All checks, one after the other; nothing is left behind."""
    yield _storage(settings.storage.directory)
    yield _space(settings)
    yield _database(settings)
    yield _port("DICOM port", settings.dicom.host, settings.dicom.port, "dicom.port")
    yield _port("Page's port", settings.web.host, settings.web.port, "web.port")
    yield _page()
    yield _clock()
    for peer in peers:
        yield echo(peer, settings.dicom.ae_title)


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


def echo(peer: Peer, calling_ae_title: str) -> Check:
    """C-ECHO to a peer."""
    name = f"C-ECHO to {peer.ae_title}@{peer.host}:{peer.port}"
    entity = AE(calling_ae_title)
    entity.acse_timeout = entity.dimse_timeout = entity.network_timeout = ECHO_TIMEOUT_S
    entity.connection_timeout = ECHO_TIMEOUT_S
    entity.add_requested_context(Verification)
    association = entity.associate(peer.host, peer.port, ae_title=peer.ae_title)
    if not association.is_established:
        rejected = association.is_rejected
        found = "rejected the association" if rejected else "does not answer"
        mend = (
            "Check both AE titles in the peer's list."
            if rejected
            else "Check address, port and firewall."
        )
        return Check(name, well=False, found=found, mend=mend)
    status = association.send_c_echo()
    association.release()
    well = bool(status) and status.Status == 0
    return Check(name, well, "answers" if well else f"answered {status}", "Ask the peer's owner.")
