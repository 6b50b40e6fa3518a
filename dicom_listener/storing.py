"""C-STORE: an object is checked, durable and written down before Success (PS3.4, annex B)."""

import logging
from collections.abc import Callable
from datetime import datetime, tzinfo
from typing import Final

from dicom_listener import steps
from dicom_listener.acceptor import Acceptor, Answer
from dicom_listener.commands import AFFECTED_CLASS, AFFECTED_INSTANCE
from dicom_listener.counters import Counters
from dicom_listener.encoded import DatasetError, parse_dataset
from dicom_listener.events import (
    ListenerEvent,
    ObjectRefused,
    ObjectStored,
    Receipt,
    RefusalCode,
)
from dicom_listener.headers import HEADER_TAGS, HeaderError, ObjectHeader, parse_header
from dicom_listener.messages import Message
from dicom_listener.spool import Spool, SpoolError
from dicom_listener.steps import Step

LOGGER = logging.getLogger(__name__)

SUCCESS: Final = 0x0000

STATUS: Final[dict[RefusalCode, int]] = {
    "spool_full": 0xA700,
    "spool_failed": 0xA700,
    "uid_mismatch": 0xA900,
    "missing_uid": 0xA900,
    "bad_uid": 0xA900,
    "wrong_context": 0xA900,
    "truncated": 0xC001,
    "garbled": 0xC002,
    "too_large": 0xC003,
    "pixel_data_length": 0xC004,
    "unknown_syntax": 0xC005,
    "no_data_set": 0xC006,
    "error": 0xC211,
}
"""C-STORE status of each refusal (PS3.4, table B.2-1): A7xx out of resources, A9xx data set does
not match SOP class, Cxxx cannot understand."""


class _RefusalError(Exception):
    """Why an object is not taken in."""

    def __init__(self, code: RefusalCode, text: str) -> None:
        super().__init__(text)
        self.code: RefusalCode = code
        self.text = text


class Storing:
    """Takes objects into a spool and tells ``sink`` of them, from any thread.

    Parameters
    ----------
    zone
        The scanner's time zone, for objects that name none; None is that of this machine.
    """

    def __init__(
        self,
        spool: Spool,
        sink: Callable[[ListenerEvent], None],
        counters: Counters,
        now: Callable[[], datetime],
        zone: tzinfo | None,
    ) -> None:
        self._spool = spool
        self._sink = sink
        self._counters = counters
        self._now = now
        self._zone = zone

    def answer(self, acceptor: Acceptor, message: Message) -> Answer:
        """Answer a C-STORE request. The outermost edge of what an object can break."""
        steps.reached(Step.RECEIVED)
        receipt = Receipt(
            received_at=self._now(),
            association_id=acceptor.association_id,
            calling_ae_title=acceptor.calling_ae_title,
            peer_address=str(acceptor.address),
        )
        try:
            stored = self._store(message, receipt)
            self._sink(stored)
        except _RefusalError as refusal:
            return self._refuse(acceptor, message, receipt, refusal)
        except SpoolError as error:
            full_or_broken = _RefusalError(error.code, str(error))
            return self._refuse(acceptor, message, receipt, full_or_broken)
        except OSError as error:
            LOGGER.exception("An object is stored, and can't be written down")
            self._counters.add(records_failed=1)
            unwritten = _RefusalError("spool_failed", f"It can't be written down: {error}.")
            return self._refuse(acceptor, message, receipt, unwritten)
        except Exception:
            LOGGER.exception("An object could not be handled")
            self._counters.add(handler_errors=1)
            self._count_refusal(acceptor)
            return Answer(STATUS["error"])
        assert message.data is not None
        if stored.outcome == "conflicting":
            uid = stored.header.sop_instance_uid
            LOGGER.warning("%s came again with another content", uid)
        acceptor.objects += 1
        acceptor.octets += len(message.data)
        self._counters.add(
            objects_stored=int(stored.outcome == "new"),
            objects_identical=int(stored.outcome == "identical"),
            objects_conflicting=int(stored.outcome == "conflicting"),
            bytes_received=len(message.data),
        )
        assert acceptor.peer is not None
        name = acceptor.peer.name
        self._counters.add_for(name, objects=1, bytes_received=len(message.data))
        return Answer(SUCCESS)

    def _store(self, message: Message, receipt: Receipt) -> ObjectStored:
        if message.refusal is not None:
            raise _RefusalError(*message.refusal)
        if not message.data:
            raise _RefusalError("no_data_set", "The request came without a data set.")
        header = self._check(message, message.data.view())
        steps.reached(Step.CHECKED)
        stored = self._spool.store(header, message.data, receipt)
        return ObjectStored(header, stored.path, receipt, stored.outcome)

    def _check(self, message: Message, data: memoryview) -> ObjectHeader:
        """The header of an object that is whole and is what the request says it is."""
        claimed = _claimed(message)
        if None in claimed:
            raise _RefusalError("missing_uid", "The request names no SOP class or SOP instance.")
        if claimed[0] != message.context.abstract_syntax:
            raise _RefusalError("wrong_context", "The SOP class is not that of its context.")
        syntax = message.context.transfer_syntax
        try:
            header = parse_header(parse_dataset(data, syntax, HEADER_TAGS), self._zone)
        except (DatasetError, HeaderError) as error:
            raise _RefusalError(error.code, error.text) from error
        if claimed != (header.sop_class_uid, header.sop_instance_uid):
            raise _RefusalError("uid_mismatch", "The UIDs of data set and request differ.")
        return header

    def _refuse(
        self, acceptor: Acceptor, message: Message, receipt: Receipt, refusal: _RefusalError
    ) -> Answer:
        status, path = STATUS[refusal.code], None
        LOGGER.warning(
            "Refused an object from %s with status %04X: %s",
            receipt.calling_ae_title,
            status,
            refusal.text,
        )
        sop_class, sop_instance = _claimed(message)
        # What there is no room for can't be kept in quarantine either; what was dropped is gone.
        if message.refusal is None and status != STATUS["spool_full"]:
            path = self._spool.quarantine(
                message.data.view() if message.data is not None else b"",
                receipt,
                code=refusal.code,
                text=refusal.text,
                claims={
                    "sop_class_uid": sop_class or "",
                    "sop_instance_uid": sop_instance or "",
                    "transfer_syntax_uid": message.context.transfer_syntax,
                },
            )
        self._count_refusal(acceptor)
        try:
            self._sink(ObjectRefused(refusal.code, refusal.text, status, path, receipt))
        except OSError:
            LOGGER.exception("A refusal can't be written down")
            self._counters.add(records_failed=1)
        return Answer(status, comment=refusal.text)

    def _count_refusal(self, acceptor: Acceptor) -> None:
        assert acceptor.peer is not None
        acceptor.refused += 1
        self._counters.add(objects_refused=1)
        self._counters.add_for(acceptor.peer.name, objects_refused=1)


def _claimed(message: Message) -> tuple[str | None, str | None]:
    """What the request says that it carries."""
    return message.command.text(AFFECTED_CLASS), message.command.text(AFFECTED_INSTANCE)
