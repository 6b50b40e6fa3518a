"""Calling a peer: the services that we are the user of."""

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from pydicom.dataset import Dataset

from dicom_listener.association import Answer, Association, Context, Proposal
from dicom_listener.nodes import Node, Ourselves
from dicom_listener.syntaxes import UNCOMPRESSED, VERIFICATION

SUCCESS: Final = 0x0000
PENDING: Final = (0xFF00, 0xFF01)
"""PS3.4, tables C.4-1, C.4-2 and K.4-1."""
CANCELLED: Final = 0xFE00

ECHO: Final[Proposal] = (VERIFICATION, UNCOMPRESSED)

_C_STORE, _C_FIND, _C_MOVE, _C_ECHO, _N_EVENT_REPORT = 0x0001, 0x0020, 0x0021, 0x0030, 0x0100
_POLL_S = 0.1


@dataclass(frozen=True)
class Found:
    """Answers to a query; ``more`` when there were more than were wanted."""

    answers: tuple[Dataset, ...]
    more: bool


@dataclass(frozen=True)
class MoveProgress:
    """How far a C-MOVE is: objects that are left, came, failed, and came with a warning.

    Attributes
    ----------
    status
        Of the answer that told; pending while it goes on.
    comment
        That status for people.
    """

    status: int
    remaining: int = 0
    completed: int = 0
    failed: int = 0
    warned: int = 0
    comment: str = ""

    @property
    def is_over(self) -> bool:
        """Whether this is the last word."""
        return self.status not in PENDING


class Call(Association):
    """An association with a node, and the requests on it."""

    def echo(self) -> None:
        """C-ECHO.

        Raises
        ------
        CallError
            When it is not answered with Success.
        """
        context = self.context(VERIFICATION)
        self.request(context, _C_ECHO, AffectedSOPClassUID=VERIFICATION)
        self._succeeded(self.answer(_C_ECHO))

    def store(
        self, context: Context, sop_instance_uid: str, data: Iterable[bytes | memoryview]
    ) -> Answer:
        """C-STORE; the answer, whatever its status.

        Parameters
        ----------
        data
            The encoded data set, in the context's transfer syntax, in parts of any length.

        Raises
        ------
        CallError
            When it is not answered.
        """
        self.request(
            context,
            _C_STORE,
            data,
            AffectedSOPClassUID=context.abstract_syntax,
            AffectedSOPInstanceUID=sop_instance_uid,
            Priority=0,
        )
        return self.answer(_C_STORE)

    def find(self, abstract_syntax: str, identifier: Dataset, *, at_most: int) -> Found:
        """C-FIND; when there are more answers than ``at_most``, the rest is called off.

        Raises
        ------
        CallError
            ``refused`` when the query fails; others when it is not answered.
        """
        context = self.context(abstract_syntax)
        data = self.encoded(context, identifier)
        self.request(context, _C_FIND, data, AffectedSOPClassUID=abstract_syntax, Priority=0)
        answers: list[Dataset] = []
        more = False
        deadline = 0.0
        while True:
            answer = self.answer(_C_FIND)
            if answer.status not in PENDING:
                break
            if len(answers) < at_most:
                answers.append(self.decoded(context, answer.data))
            elif not more:
                more = True
                deadline = time.monotonic() + self.caller.answer_s
                self.cancel(context)
            elif time.monotonic() > deadline:
                raise self.error("timed_out", "goes on answering a query that was called off")
        if not (more and answer.status == CANCELLED):
            self._succeeded(answer)
        return Found(tuple(answers), more)

    def move(
        self,
        abstract_syntax: str,
        identifier: Dataset,
        destination_ae_title: str,
        *,
        cancelled: Callable[[], bool] = lambda: False,
    ) -> Iterator[MoveProgress]:
        """C-MOVE; how far it is, at each answer. The last one has the final status, also when that
        is a failure.

        Parameters
        ----------
        cancelled
            Asked often; once it says so, the peer is told to stop, and answers a last time.

        Raises
        ------
        CallError
            When it is not answered.
        """
        context = self.context(abstract_syntax)
        self.request(
            context,
            _C_MOVE,
            self.encoded(context, identifier),
            AffectedSOPClassUID=abstract_syntax,
            Priority=0,
            MoveDestination=destination_ae_title,
        )
        called_off = False
        deadline = time.monotonic() + self.caller.move_s
        while True:
            if not called_off and cancelled():
                called_off = True
                deadline = time.monotonic() + self.caller.answer_s
                self.cancel(context)
            if not self.has_more(_POLL_S):
                if time.monotonic() > deadline:
                    raise self.error("timed_out", "does not tell how the transfer gets on")
                continue
            progress = _progress(self.answer(_C_MOVE))
            yield progress
            if progress.is_over:
                return
            if not called_off:
                deadline = time.monotonic() + self.caller.move_s

    def report(
        self, abstract_syntax: str, sop_instance_uid: str, event_type: int, information: Dataset
    ) -> Answer:
        """N-EVENT-REPORT, as the provider of the service; the answer, whatever its status.

        Raises
        ------
        CallError
            When it is not answered.
        """
        context = self.context(abstract_syntax)
        self.request(
            context,
            _N_EVENT_REPORT,
            self.encoded(context, information),
            AffectedSOPClassUID=abstract_syntax,
            AffectedSOPInstanceUID=sop_instance_uid,
            EventTypeID=event_type,
        )
        return self.answer(_N_EVENT_REPORT)

    def _succeeded(self, answer: Answer) -> None:
        if answer.status != SUCCESS:
            raise self.error("refused", f"refused ({answer.comment})", answer.status)


def echo(node: Node, caller: Ourselves) -> float:
    """C-ECHO on an association of its own; the seconds from the request to its answer.

    Raises
    ------
    CallError
        When it is not answered.
    """
    with Call(node, caller, [ECHO]) as call:
        asked = time.monotonic()
        call.echo()
        return time.monotonic() - asked


def _progress(answer: Answer) -> MoveProgress:
    def count(what: str) -> int:
        return int(answer.command.get(f"NumberOf{what}Suboperations") or 0)

    return MoveProgress(
        answer.status,
        count("Remaining"),
        count("Completed"),
        count("Failed"),
        count("Warning"),
        answer.comment,
    )
