"""The journal: what was found, raised and pressed, through SQLAlchemy (SQLite by default).

One thread writes (the pipeline's); each call is one transaction, durable when it returns.
Documents are the wire types' JSON, so that what is read back is checked by the same types.
Received objects are not here: the spool holds them, and the journal can be made anew from it.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from sqlalchemy import (
    URL,
    Engine,
    Index,
    Integer,
    String,
    Text,
    create_engine,
    event,
    insert,
    select,
    text,
)
from sqlalchemy.engine import make_url
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from monitor import messages


class JournalError(RuntimeError):
    """The database can't be opened or written; the message says which and why."""


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
    """Every change of an alert or a phase, never altered."""

    __tablename__ = "events"
    number: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=True)
    at: Mapped[str] = mapped_column(String(40))
    procedure_id: Mapped[str] = mapped_column(String(64), index=True)
    kind: Mapped[str] = mapped_column(String(32))
    document: Mapped[str] = mapped_column(Text)


class Journal:
    """Opens (and creates) the database.

    Raises
    ------
    JournalError
        It can't be opened.
    """

    def __init__(self, url: str) -> None:
        try:
            parsed = make_url(url)
        except SQLAlchemyError as error:  # its message may hold a password
            raise JournalError("not a database URL, as in sqlite:////srv/ice.sqlite") from error
        self._shown = parsed.render_as_string(hide_password=True)
        try:
            self._engine = _engine(parsed)
            _Base.metadata.create_all(self._engine)
        except (SQLAlchemyError, OSError, ImportError) as error:
            raise JournalError(f"{self._shown}: {_short(error)}") from error

    def close(self) -> None:
        """Release the database."""
        self._engine.dispose()

    def check(self) -> None:
        """Raise JournalError unless the database can be written."""
        with self._transaction() as session:
            session.execute(text("UPDATE procedures SET state = state WHERE id = ''"))

    def procedure(self, procedure: messages.Procedure) -> None:
        """Write a procedure, new or changed."""
        with self._transaction() as session:
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

    def measurement(self, measurement: messages.Measurement, slices: int) -> None:
        """Append a measurement; ``slices`` is how many the series had then."""
        with self._transaction() as session:
            session.add(
                _Measurement(
                    id=measurement.id,
                    procedure_id=measurement.procedure_id,
                    slices=slices,
                    document=measurement.model_dump_json(),
                )
            )

    def alert(self, alert: messages.Alert, at: datetime) -> None:
        """Write an alert's new state and the event of its change."""
        document = alert.model_dump_json()
        with self._transaction() as session:
            session.merge(_Alert(id=alert.id, procedure_id=alert.procedure_id, document=document))
            session.execute(_event_row(at, alert.procedure_id, "alert", document))

    def phase(self, phase: messages.Phase) -> None:
        """Append a pressed phase."""
        with self._transaction() as session:
            row = _event_row(phase.since, phase.procedure_id, "phase", phase.model_dump_json())
            session.execute(row)

    def procedures(self) -> list[dict[str, str]]:
        """All procedures, oldest first: the columns of their table."""
        with self._transaction() as session:
            rows = session.scalars(select(_Procedure).order_by(_Procedure.opened_at))
            return [
                {
                    "id": row.id,
                    "patient_id": row.patient_id,
                    "patient_name": row.patient_name,
                    "study_instance_uid": row.study_instance_uid,
                    "opened_at": row.opened_at,
                    "state": row.state,
                }
                for row in rows
            ]

    def measurements(self, procedure_id: str) -> list[tuple[messages.Measurement, int]]:
        """A procedure's measurements with their numbers of slices, as they were written."""
        wanted = (
            select(_Measurement)
            .where(_Measurement.procedure_id == procedure_id)
            .order_by(_Measurement.number)
        )
        with self._transaction() as session:
            return [
                (messages.Measurement.model_validate_json(row.document), row.slices)
                for row in session.scalars(wanted)
            ]

    def alerts(self, procedure_id: str) -> list[messages.Alert]:
        """A procedure's alerts in their latest state, oldest first."""
        wanted = select(_Alert.document).where(_Alert.procedure_id == procedure_id)
        with self._transaction() as session:
            found = [messages.Alert.model_validate_json(row) for row in session.scalars(wanted)]
        return sorted(found, key=lambda alert: alert.raised_at)

    def values_when_acknowledged(self, procedure_id: str) -> dict[str, float]:
        """What a person saw: each alert's value at its latest acknowledgement, by alert id."""
        wanted = (
            select(_Event.document)
            .where(_Event.procedure_id == procedure_id, _Event.kind == "alert")
            .order_by(_Event.number)
        )
        found: dict[str, tuple[datetime, float]] = {}
        with self._transaction() as session:
            for row in session.scalars(wanted):
                alert = messages.Alert.model_validate_json(row)
                if alert.acknowledged_at is None or alert.value is None:
                    continue
                known = found.get(alert.id)
                if known is None or known[0] != alert.acknowledged_at:
                    found[alert.id] = (alert.acknowledged_at, alert.value)
        return {alert_id: value for alert_id, (_, value) in found.items()}

    def phases(self, procedure_id: str) -> list[messages.Phase]:
        """A procedure's pressed phases, oldest first."""
        wanted = (
            select(_Event.document)
            .where(_Event.procedure_id == procedure_id, _Event.kind == "phase")
            .order_by(_Event.number)
        )
        with self._transaction() as session:
            return [messages.Phase.model_validate_json(row) for row in session.scalars(wanted)]

    @contextmanager
    def _transaction(self) -> Iterator[Session]:
        try:
            with Session(self._engine) as session, session.begin():
                yield session
        except SQLAlchemyError as error:
            raise JournalError(f"{self._shown}: {_short(error)}") from error
        except ValidationError as error:
            text = f"{error.error_count()} values in it are none of this version's"
            raise JournalError(f"{self._shown}: {text} ({error.title})") from error


def _event_row(at: datetime, procedure_id: str, kind: str, document: str) -> Any:
    return insert(_Event).values(
        at=messages.rfc3339(at), procedure_id=procedure_id, kind=kind, document=document
    )


def _engine(parsed: URL) -> Engine:
    if parsed.get_backend_name() != "sqlite":
        return create_engine(parsed, pool_pre_ping=True)
    if parsed.database:
        Path(parsed.database).parent.mkdir(parents=True, exist_ok=True)
    engine = create_engine(parsed, connect_args={"timeout": 5})

    def on_connect(connection: Any, _record: Any) -> None:
        cursor = connection.cursor()
        cursor.execute("PRAGMA journal_mode=WAL")
        cursor.execute("PRAGMA synchronous=FULL")
        cursor.close()

    event.listen(engine, "connect", on_connect)
    return engine


def _short(error: Exception) -> str:
    cause = getattr(error, "orig", None) or error
    return f"the database can't be used ({cause})"
