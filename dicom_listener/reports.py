"""N-EVENT-REPORT of Storage Commitment on the association that asked for it (PS3.4, J.3.3).

Whoever reports is in another thread than the association, which alone reads and writes: a report
is handed over here, sent when the peer has nothing under way, and answered among its own requests.
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from pydicom.dataset import Dataset

from dicom_listener.commands import (
    AFFECTED_CLASS,
    AFFECTED_INSTANCE,
    ANSWERED_MESSAGE_ID,
    COMMAND_FIELD,
    DATA_SET_TYPE,
    EVENT_TYPE_ID,
    MESSAGE_ID,
    STATUS,
    Command,
    Field,
    encode_command,
)
from dicom_listener.messages import Context, encode_message
from dicom_listener.negotiation import COMMITMENT, COMMITMENT_INSTANCE

REPORT_S: Final = 5.0
"""How long a peer may take to answer."""

_WITH_DATA_SET = 0x0001


@dataclass
class _Report:
    """One on its way."""

    message_id: int
    unsent: bytes
    answered: threading.Event = field(default_factory=threading.Event)
    status: int | None = None


class Reports:
    """The reports of one association, one at a time.

    Parameters
    ----------
    owner
        The association's thread.
    wake
        Makes it look for ``unsent``.
    """

    def __init__(self, owner: threading.Thread, wake: Callable[[], None]) -> None:
        self._owner = owner
        self._wake = wake
        self._turn = threading.Lock()
        self._lock = threading.Lock()
        self._report: _Report | None = None
        self._message_id = 0
        self._longest = 0

    def open(self, longest_pdu_bytes: int) -> None:
        """The association is accepted; its peer takes PDUs up to this length."""
        with self._lock:
            self._longest = longest_pdu_bytes

    def close(self) -> None:
        """The association is over."""
        with self._lock:
            self._longest = 0
            if self._report:
                self._report.answered.set()

    def send(self, context: Context, information: Dataset, event_type_id: int) -> bool:
        """See ``peers.Caller.report``."""
        if context.abstract_syntax != COMMITMENT or threading.current_thread() is self._owner:
            return False
        with self._turn:
            with self._lock:
                if not self._longest:
                    return False
                self._message_id = self._message_id % 0xFFFF + 1
                head = encode_command(
                    {
                        AFFECTED_CLASS: COMMITMENT,
                        COMMAND_FIELD: Field.N_EVENT_REPORT,
                        MESSAGE_ID: self._message_id,
                        DATA_SET_TYPE: _WITH_DATA_SET,
                        AFFECTED_INSTANCE: COMMITMENT_INSTANCE,
                        EVENT_TYPE_ID: event_type_id,
                    }
                )
                unsent = encode_message(context, head, information, self._longest)
                report = self._report = _Report(self._message_id, unsent)
            self._wake()
            report.answered.wait(REPORT_S)
            with self._lock:
                self._report = None
                return report.status == 0

    def unsent(self) -> bytes:
        """What is to be sent now."""
        with self._lock:
            if self._report is None:
                return b""
            unsent, self._report.unsent = self._report.unsent, b""
            return unsent

    def take_answer(self, command: Command) -> None:
        """The peer has answered something."""
        with self._lock:
            report = self._report
            if report and report.message_id == command.number(ANSWERED_MESSAGE_ID):
                report.status = command.number(STATUS)
                report.answered.set()
