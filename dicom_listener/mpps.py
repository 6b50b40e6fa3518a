"""Modality Performed Procedure Step: the scanner tells what it makes, and what it has made.

We are the provider of the service (PS3.4, F.7). A step is created IN PROGRESS, changed while it
goes on, and is COMPLETED or DISCONTINUED in the end, when it lists the images of each of its
series: the best evidence there is that a series is complete. Only what is needed for that is kept
of it. Each change is durable before it is answered.

What a step must have at its end (PS3.4, table F.7.2-1: end date and time, at least one series) is
not asked for: nothing here needs it, and to refuse would be to lose the list.
"""

import errno
import logging
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, get_args

from pydicom.dataset import Dataset

from dicom_listener.attributes import (
    INVALID_VALUE,
    MISSING_ATTRIBUTE,
    MISSING_VALUE,
    NOT_AUTHORIZED,
    PROCESSING_FAILURE,
    RESOURCE_LIMITATION,
    SUCCESS,
    RefusalError,
    items,
    text,
    uid,
)
from dicom_listener.events import ListenerEvent, PerformedSeries, StepReported, StepStatus
from dicom_listener.peers import Caller
from dicom_listener.syntaxes import is_uid

LOGGER = logging.getLogger(__name__)

DUPLICATE_INSTANCE: Final = 0x0111
NO_SUCH_INSTANCE: Final = 0x0112

NO_LONGER_UPDATED: Final = 0xA710
"""Error ID "Performed Procedure Step Object may no longer be updated", which comes with Processing
Failure (PS3.4, F.7.2.2.3)."""

MAXIMUM_STEPS: Final = 1000
"""Steps of one calling AE title that are remembered. Beyond this its oldest is forgotten, one
that is over before one that goes on; to change it is then to change one that is not known."""

MAXIMUM_SERIES: Final = 500
MAXIMUM_INSTANCES: Final = 50_000
"""In one step; a request with more is refused for want of resources."""

REQUIRED: Final = (
    "PerformedProcedureStepID",
    "PerformedStationAETitle",
    "PerformedProcedureStepStartDate",
    "PerformedProcedureStepStartTime",
    "Modality",
)
"""Besides the status, what a user of the service must give at the beginning, with a value: type 1
of PS3.4, table F.7.2-1."""

Answer = tuple[int, Dataset | None]
"""Status; for a failure, what belongs into the answer's command set: Error Comment, Error ID."""

_STATUSES: Final[Mapping[str, StepStatus]] = {status: status for status in get_args(StepStatus)}
_IMAGES: Final = ("ReferencedImageSequence", "ReferencedNonImageCompositeSOPInstanceSequence")


@dataclass(frozen=True)
class _Step:
    status: StepStatus
    series: tuple[PerformedSeries, ...]
    calling_ae_title: str


class PerformedSteps:
    """All steps that are remembered. For any thread.

    Parameters
    ----------
    sink
        Called before an answer, one call at a time; what it was given is durable when it returns,
        and is not when it raises OSError.
    """

    def __init__(
        self,
        sink: Callable[[ListenerEvent], None],
        *,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._sink = sink
        self._now = now
        self._lock = threading.Lock()
        self._steps: dict[str, _Step] = {}

    def restore(self, events: Iterable[ListenerEvent]) -> None:
        """Know again what was reported before a restart."""
        for event in events:
            if isinstance(event, StepReported):
                step = _Step(event.status, event.series, event.calling_ae_title)
                self._remember(event.step_uid, step)

    def create(self, uid: str, attributes: Dataset, caller: Caller) -> Answer:
        """N-CREATE. Never raises, whatever the data set holds."""
        return self._answer(self._create, uid, attributes, caller)

    def set(self, uid: str, attributes: Dataset, caller: Caller) -> Answer:
        """N-SET, with what is to be changed. Never raises, whatever the data set holds.

        A sequence that is given stands for the whole of it. Only the caller that created a step may
        change it.
        """
        return self._answer(self._set, uid, attributes, caller)

    def _answer(
        self,
        change: Callable[[str, Dataset, Caller], _Step],
        step_uid: str,
        attributes: Dataset,
        caller: Caller,
    ) -> Answer:
        with self._lock:
            try:
                step = change(step_uid, attributes, caller)
                self._sink(
                    StepReported(
                        step_uid,
                        step.status,
                        step.series,
                        caller.association_id,
                        caller.calling_ae_title,
                        self._now(),
                    )
                )
                self._remember(step_uid, step)
            except RefusalError as refusal:
                failure = refusal
            except OSError as error:
                LOGGER.exception("A performed procedure step can't be written down")
                full = error.errno == errno.ENOSPC
                status = RESOURCE_LIMITATION if full else PROCESSING_FAILURE
                failure = RefusalError(status, "It can't be written down")
            except Exception:  # the edge to a peer's bytes: wrong ones raise anything
                LOGGER.exception("A performed procedure step can't be read")
                failure = RefusalError(PROCESSING_FAILURE, "The data set can't be read")
            else:
                return SUCCESS, None
        LOGGER.warning(
            "Refused a performed procedure step of %s with status %04X: %s",
            caller.calling_ae_title,
            failure.status,
            failure.comment,
        )
        return failure.status, failure.elements()

    def _create(self, step_uid: str, attributes: Dataset, caller: Caller) -> _Step:
        if not is_uid(step_uid):
            raise RefusalError(INVALID_VALUE, "The step's SOP Instance UID is no UID")
        if step_uid in self._steps:
            raise RefusalError(DUPLICATE_INSTANCE, "This step was created before")
        status = _status(attributes)
        if status != "IN PROGRESS":
            raise RefusalError(INVALID_VALUE, "A step is created IN PROGRESS")
        for keyword in REQUIRED:
            text(attributes, keyword)
        scheduled = items(attributes, "ScheduledStepAttributesSequence")
        if not scheduled:
            given = "ScheduledStepAttributesSequence" in attributes
            code = MISSING_VALUE if given else MISSING_ATTRIBUTE
            raise RefusalError(code, "ScheduledStepAttributesSequence must have an item")
        for item in scheduled:
            uid(item, "StudyInstanceUID")
        return _Step(status, _performed(attributes), caller.calling_ae_title)

    def _set(self, step_uid: str, attributes: Dataset, caller: Caller) -> _Step:
        step = self._steps.get(step_uid)
        if step is None:
            raise RefusalError(NO_SUCH_INSTANCE, "This step is not known")
        if step.calling_ae_title != caller.calling_ae_title:
            raise RefusalError(NOT_AUTHORIZED, "Another application created this step")
        if step.status != "IN PROGRESS":
            comment = "Performed Procedure Step Object may no longer be updated"
            raise RefusalError(PROCESSING_FAILURE, comment, NO_LONGER_UPDATED)
        given = "PerformedProcedureStepStatus" in attributes
        status = _status(attributes) if given else step.status
        given = "PerformedSeriesSequence" in attributes
        series = _performed(attributes) if given else step.series
        return _Step(status, series, step.calling_ae_title)

    def _remember(self, step_uid: str, step: _Step) -> None:
        self._steps.pop(step_uid, None)
        self._steps[step_uid] = step
        caller = step.calling_ae_title
        own = [key for key, one in self._steps.items() if one.calling_ae_title == caller]
        if len(own) > MAXIMUM_STEPS:
            over = (key for key in own if self._steps[key].status != "IN PROGRESS")
            del self._steps[next(over, own[0])]


def _status(attributes: Dataset) -> StepStatus:
    status = text(attributes, "PerformedProcedureStepStatus")
    if status not in _STATUSES:
        raise RefusalError(INVALID_VALUE, "PerformedProcedureStepStatus is none of the three")
    return _STATUSES[status]


def _performed(attributes: Dataset) -> tuple[PerformedSeries, ...]:
    """Performed Series Sequence (0040,0340): each series, with all instances that are listed."""
    performed = items(attributes, "PerformedSeriesSequence")
    if len(performed) > MAXIMUM_SERIES:
        raise RefusalError(RESOURCE_LIMITATION, "There are too many series in one step")
    series = tuple(
        PerformedSeries(
            uid(item, "SeriesInstanceUID"),
            tuple(
                uid(reference, "ReferencedSOPInstanceUID")
                for keyword in _IMAGES
                for reference in items(item, keyword)
            ),
        )
        for item in performed
    )
    if sum(len(one.instance_uids) for one in series) > MAXIMUM_INSTANCES:
        raise RefusalError(RESOURCE_LIMITATION, "There are too many instances in one step")
    return series
