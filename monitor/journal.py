"""The journal: what was found, raised and pressed, through SQLAlchemy (SQLite by default).

Each call is one transaction, durable when it returns; the same again changes nothing, so that a
write may be repeated when it is not known whether it went through. No call waits for ever.
Documents are the wire types' JSON, so that what is read back is checked by the same types.
Received objects are not here: the spool holds them, and the journal can be made anew from it.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import (
    URL,
    Engine,
    Index,
    Integer,
    String,
    Text,
    create_engine,
    event,
    exists,
    insert,
    literal,
    select,
    text,
)
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DataError, IntegrityError, SQLAlchemyError
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column
from sqlalchemy.pool import NullPool

from monitor import messages
from monitor.decisions import Decision
from monitor.journal_past import JournalError, Past

__all__ = ["Journal", "JournalError", "Past", "UnwritableError", "WithdrawnError"]

STATEMENT_S = 3.0
"""A statement that takes longer is ended by the server; this includes waiting for locks."""

ANSWER_S = 5.0
"""A server that is silent for longer is taken for dead. Above ``STATEMENT_S``, so that a slow
statement has been ended before we turn away from it."""

BUSY_S = 2.0
"""How long SQLite waits while another process writes."""

_DRIVER = "postgresql+pg8000"

Confirm = Callable[[], bool]
"""Asked at the last moment, when all is written but the commit: whether it is still wanted."""


class UnwritableError(JournalError):
    """The database takes writes, but not this one: its values are at fault."""


class WithdrawnError(Exception):
    """Nobody wanted it any more; nothing was written."""


def _wanted() -> bool:
    return True


class _Base(DeclarativeBase):
    pass


class _Procedure(_Base):
    __tablename__ = "procedures"
    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    patient_id: Mapped[str] = mapped_column(Text)
    patient_name: Mapped[str] = mapped_column(Text)
    study_instance_uid: Mapped[str] = mapped_column(String(64), index=True)
    opened_at: Mapped[str] = mapped_column(String(40))
    state: Mapped[str] = mapped_column(String(16))


_COLUMNS = tuple(_Procedure.__table__.columns.keys())


class _Measurement(_Base):
    __tablename__ = "measurements"
    number: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=True)
    id: Mapped[str] = mapped_column(String(64), unique=True)
    procedure_id: Mapped[str] = mapped_column(String(64))
    slices: Mapped[int] = mapped_column(Integer)
    document: Mapped[str] = mapped_column(Text)
    __table_args__ = (Index("measurements_of", "procedure_id"),)


class _Alert(_Base):
    __tablename__ = "alerts"
    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    procedure_id: Mapped[str] = mapped_column(String(64), index=True)
    document: Mapped[str] = mapped_column(Text)


class _Event(_Base):
    """Every change of an alert, every phase and every decision, never altered."""

    __tablename__ = "events"
    number: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=True)
    at: Mapped[str] = mapped_column(String(40))
    procedure_id: Mapped[str] = mapped_column(String(64), index=True)
    kind: Mapped[str] = mapped_column(String(32))
    document: Mapped[str] = mapped_column(Text)


class Journal:
    """A database. A file is opened, and created, at once; a server is first called when needed.

    Raises
    ------
    JournalError
        The address is none, or the file can't be opened.
    """

    def __init__(self, url: str) -> None:
        try:
            parsed = make_url(url)
        except SQLAlchemyError as error:  # its message may hold a password
            raise JournalError("not a database URL, as in sqlite:////srv/ice.sqlite") from error
        self._shown = parsed.render_as_string(hide_password=True)
        self._created = False
        try:
            self._engine = _engine(parsed)
            if parsed.get_backend_name() == "sqlite":
                self._create()
        except (SQLAlchemyError, OSError, ImportError) as error:
            raise JournalError(f"{self._shown}: {_short(error)}") from error

    def close(self) -> None:
        """Release the database."""
        self._engine.dispose()

    def check(self) -> None:
        """Raise JournalError unless the database can be written."""
        with self._transaction() as session:
            session.execute(text("UPDATE procedures SET state = state WHERE id = ''"))

    def procedure(self, procedure: messages.Procedure, confirm: Confirm = _wanted) -> None:
        """Write a procedure, new or changed."""
        with self._transaction(confirm) as session:
            session.merge(
                _Procedure(
                    id=procedure.id,
                    patient_id=procedure.patient_id,
                    patient_name=procedure.patient_name,
                    study_instance_uid=procedure.study_instance_uid,
                    opened_at=messages.rfc3339(procedure.opened_at),
                    state=procedure.state,
                )
            )

    def measurement(
        self, measurement: messages.Measurement, slices: int, confirm: Confirm = _wanted
    ) -> None:
        """Append a measurement; ``slices`` is how many the series had then."""
        document = measurement.model_dump_json()
        known = select(_Measurement.document).where(_Measurement.id == measurement.id)
        with self._transaction(confirm) as session:
            if session.scalar(known) == document:
                return
            session.add(
                _Measurement(
                    id=measurement.id,
                    procedure_id=measurement.procedure_id,
                    slices=slices,
                    document=document,
                )
            )

    def alert(self, alert: messages.Alert, at: datetime, confirm: Confirm = _wanted) -> None:
        """Write an alert's new state and the event of its change."""
        document = alert.model_dump_json()
        with self._transaction(confirm) as session:
            _append(session, at, alert.procedure_id, "alert", document)
            session.merge(_Alert(id=alert.id, procedure_id=alert.procedure_id, document=document))

    def phase(self, phase: messages.Phase, confirm: Confirm = _wanted) -> None:
        """Append a pressed phase."""
        document = phase.model_dump_json()
        with self._transaction(confirm) as session:
            _append(session, phase.since, phase.procedure_id, "phase", document)

    def decision(self, decision: Decision, confirm: Confirm = _wanted) -> None:
        """Append what a person has decided."""
        document = decision.model_dump_json()
        with self._transaction(confirm) as session:
            _append(session, decision.at, decision.procedure_id, "decision", document)

    def read(self) -> Past:
        """All of it."""
        m, a, e = _Measurement, _Alert, _Event
        measured = select(m.procedure_id, m.document, m.slices).order_by(m.number)
        changed = select(e.procedure_id, e.kind, e.document).order_by(e.number)
        with self._transaction() as session:
            procedures = session.scalars(select(_Procedure).order_by(_Procedure.opened_at))
            return Past(
                [{name: getattr(row, name) for name in _COLUMNS} for row in procedures],
                [(owner, made, slices) for owner, made, slices in session.execute(measured)],
                [
                    (owner, now)
                    for owner, now in session.execute(select(a.procedure_id, a.document))
                ],
                [(owner, kind, made) for owner, kind, made in session.execute(changed)],
            )

    def _create(self) -> None:
        _Base.metadata.create_all(self._engine)
        self._created = True

    @contextmanager
    def _transaction(self, confirm: Confirm = _wanted) -> Iterator[Session]:
        try:
            if not self._created:
                self._create()
            with Session(self._engine) as session, session.begin():
                yield session
                session.flush()
                if not confirm():
                    raise WithdrawnError
        except (SQLAlchemyError, OSError, UnicodeError) as error:
            kind = UnwritableError if _is_of_its_values(error) else JournalError
            raise kind(f"{self._shown}: {_short(error)}") from error


def _append(session: Session, at: datetime, procedure_id: str, kind: str, document: str) -> None:
    """Append an event unless it is there.

    The procedure's row is held from here to the commit. Where an earlier try of the same write is
    still on its way in the server, this waits for how that one ends, and does not write it twice.
    """
    session.execute(select(_Procedure.id).where(_Procedure.id == procedure_id).with_for_update())
    values = {
        "at": messages.rfc3339(at),
        "procedure_id": procedure_id,
        "kind": kind,
        "document": document,
    }
    known = select(_Event.number).where(*(getattr(_Event, k) == v for k, v in values.items()))
    row = select(*(literal(v) for v in values.values())).where(~exists(known))
    session.execute(insert(_Event).from_select(list(values), row))


def _engine(parsed: URL) -> Engine:
    if parsed.get_backend_name() != "sqlite":
        return _server_engine(parsed)
    if parsed.database:
        Path(parsed.database).parent.mkdir(parents=True, exist_ok=True)
    engine = create_engine(parsed, connect_args={"timeout": BUSY_S})

    def on_connect(connection: Any, _record: Any) -> None:
        cursor = connection.cursor()
        cursor.execute("PRAGMA journal_mode=WAL")
        cursor.execute("PRAGMA synchronous=FULL")
        cursor.close()

    event.listen(engine, "connect", on_connect)
    return engine


def _server_engine(parsed: URL) -> Engine:
    """A connection a call, so that none meets what an earlier one left behind.

    With our own driver every wait has its end.
    """
    if parsed.drivername == "postgresql":
        parsed = parsed.set(drivername=_DRIVER)
    bounds: dict[str, Any] = {}
    if parsed.drivername == _DRIVER:
        statement = {"statement_timeout": f"{1000 * STATEMENT_S:.0f}"}
        bounds = {"timeout": ANSWER_S, "startup_params": statement}
    return create_engine(parsed, connect_args=bounds, poolclass=NullPool)


def _is_of_its_values(error: Exception) -> bool:
    """Whether it lies in what was to be written: SQLSTATE class 22 (data) or 23 (integrity)."""
    if isinstance(error, DataError | IntegrityError | UnicodeError):
        return True
    details = getattr(getattr(error, "orig", None), "args", ())
    fields = details[0] if details and isinstance(details[0], dict) else {}  # pg8000's way
    return str(fields.get("C", ""))[:2] in {"22", "23"}


def _short(error: Exception) -> str:
    cause = getattr(error, "orig", None) or error
    details = cause.args[0] if cause.args else cause
    shown = details.get("M") if isinstance(details, dict) else cause  # pg8000's way
    return f"the database can't be used ({shown})"
