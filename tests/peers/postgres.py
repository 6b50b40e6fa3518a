"""A PostgreSQL server of the tests' own, as Debian's package ships it: fresh, empty, soon gone."""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import create_engine, text
from sqlalchemy.exc import SQLAlchemyError

from tests.conftest import needed
from tests.waiting import PATIENCE_S, until

USER = "icemargin"


class Postgres:
    """One server process on 127.0.0.1, in a folder of its own.

    Attributes
    ----------
    url
        Of its database, as for ``storage.database_url``: without naming a driver.
    """

    def __init__(self, programs: Path, folder: Path) -> None:
        self._programs = programs
        self._folder = folder
        with socket.create_server(("127.0.0.1", 0)) as free:
            self._port = free.getsockname()[1]
        self.url = f"postgresql://{USER}@127.0.0.1:{self._port}/postgres"
        self._engine = create_engine(self.url.replace("postgresql", "postgresql+pg8000"))
        self._process: subprocess.Popen[bytes] | None = None
        # The server refuses to run as root.
        self._user = "postgres" if os.geteuid() == 0 else None
        if self._user is not None:
            shutil.chown(folder, self._user)
        options = ["-D", str(folder / "data"), "-U", USER, "-A", "trust", "-E", "UTF8", "--no-sync"]
        command = [str(programs / "initdb"), *options]
        subprocess.run(
            command,
            check=True,
            capture_output=True,
            user=self._user,
            cwd=folder,
            timeout=PATIENCE_S,
        )

    def start(self) -> None:
        """Start it and wait until it answers."""
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": self._port,
            "unix_socket_directories": "",
            "fsync": "off",
        }
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [self._programs / "postgres", "-D", self._folder / "data", *options],
                stdout=log,
                stderr=log,
                user=self._user,
                cwd=self._folder,
            )
        until(self._answers, f"PostgreSQL's start; see {self._folder / 'log'}")

    def _answers(self) -> bool:
        try:
            self.run("SELECT 1")
        except SQLAlchemyError:
            return False
        return True

    def stop(self) -> None:
        """End it at once, with all its sessions ("fast shutdown")."""
        self._engine.dispose()
        if self._process is not None:
            self._process.send_signal(signal.SIGINT)
            self._process.wait(PATIENCE_S)
            self._process = None

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """All its processes stand still: connections stay, and nothing is answered."""
        assert self._process is not None
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children")
        pids = [self._process.pid, *(int(pid) for pid in children.read_text().split())]
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            for pid in pids:
                os.kill(pid, signal.SIGCONT)

    def run(self, statement: str) -> None:
        """Do something to the database from outside."""
        with self._engine.begin() as connection:
            connection.execute(text(statement))

    def rows(self, query: str) -> list[tuple[object, ...]]:
        """What a query finds."""
        with self._engine.begin() as connection:
            return [tuple(row) for row in connection.execute(text(query))]

    @contextmanager
    def locked(self, *tables: str) -> Iterator[None]:
        """Another session holds the tables: nobody else can read or write them."""
        with self._engine.begin() as connection:
            connection.execute(text(f"LOCK TABLE {', '.join(tables)} IN ACCESS EXCLUSIVE MODE"))
            yield

    def empty(self) -> None:
        """Drop all tables."""
        self.run("DROP SCHEMA public CASCADE")
        self.run("CREATE SCHEMA public")


@contextmanager
def running_postgres() -> Iterator[Postgres]:
    """A server that is up; it and its folder are gone afterwards."""
    installed = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"))
    program = needed(str(installed[-1]) if installed else "postgres", "postgresql")
    # Not below pytest's folders, which are closed to the user that the server runs as.
    folder = Path(tempfile.mkdtemp(prefix="icemargin-postgres-"))
    server = None
    try:
        server = Postgres(Path(program).resolve().parent, folder)
        server.start()
        yield server
    finally:
        if server is not None:
            server.stop()
        shutil.rmtree(folder)
