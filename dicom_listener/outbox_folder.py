"""What waits to be sent to one node, on disk: a file is a job, so that a job is whole or is not.

    outbox/PACS-6f2a81c3/00001790000000000000000-2b9d31fe.dcm    waits
    outbox/PACS-6f2a81c3/failed/...dcm and ...txt                given up, and why

The name begins with the time at which the job was taken on, in nanoseconds since 1970, so that jobs
are in their order after a restart, and their age is known.
"""

import hashlib
import logging
import os
import re
import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from uuid import uuid4

from dicom_listener.folders import fsync_folder

LOGGER = logging.getLogger(__name__)

KEPT_FAILURES: Final = 1000
"""Files kept in ``failed`` for one node; beyond this the oldest are removed. They are copies: what
was measured stays with its measurement."""

_NAME = re.compile(r"(\d{20})-[0-9a-f]{8}\.dcm")


@dataclass
class Job:
    """One file for one node.

    Attributes
    ----------
    put_at_s
        When it was taken on, in seconds since 1970.
    attempts
        How often it was sent in vain, since the start.
    due_s
        When it may be sent again, by the monotonic clock.
    problem
        Why it was not taken the last time.
    """

    path: Path
    put_at_s: float
    attempts: int = 0
    due_s: float = 0.0
    problem: str = ""


class OutboxFolder:
    """The folder of one node. Its methods raise OSError when the disk does not do its part."""

    def __init__(self, outbox: Path, node_name: str) -> None:
        self.path = outbox / folder_name(node_name)
        self._failed = self.path / "failed"

    def load(self) -> list[Job]:
        """What waits, oldest first; halves of a copy that was broken off are removed."""
        self._failed.mkdir(parents=True, exist_ok=True)
        fsync_folder(self.path)
        fsync_folder(self.path.parent)
        for half in self.path.glob("*.part"):
            half.unlink()
        jobs = []
        for path in sorted(self.path.glob("*.dcm")):
            name = _NAME.fullmatch(path.name)
            if name is None:
                LOGGER.warning("Left alone, for it is no job of ours: %s", path)
                continue
            jobs.append(Job(path, int(name[1]) / 1e9))
        return jobs

    def add(self, source: Path) -> Job:
        """Take a file on; when this returns it is durable.

        The file is linked where that can be done, so that nobody may change it in place
        afterwards, and copied elsewhere.
        """
        now_ns = time.time_ns()
        path = self.path / f"{now_ns:020d}-{uuid4().hex[:8]}.dcm"
        half = path.with_suffix(".part")
        try:
            try:
                os.link(source, half)
            except OSError:
                shutil.copyfile(source, half)
            with half.open("rb") as file:
                os.fsync(file.fileno())
            half.rename(path)
        except OSError:
            half.unlink(missing_ok=True)
            raise
        fsync_folder(self.path)
        return Job(path, now_ns / 1e9)

    def remove(self, job: Job) -> None:
        """It was sent. Should the power fail now, it is sent again, which does no harm."""
        job.path.unlink(missing_ok=True)

    def fail(self, job: Job, reason: str) -> None:
        """Give it up: keep it beside the others, with its reason."""
        (self._failed / job.path.name).with_suffix(".txt").write_text(f"{reason}\n")
        job.path.rename(self._failed / job.path.name)
        fsync_folder(self._failed)
        fsync_folder(self.path)
        for old in sorted(self._failed.glob("*.dcm"))[:-KEPT_FAILURES]:
            old.unlink()
            old.with_suffix(".txt").unlink(missing_ok=True)


def folder_name(node_name: str) -> str:
    """A folder's name for a node of any name: readable, safe, and of no other node."""
    readable = re.sub("[^A-Za-z0-9_-]", "_", node_name)[:40]
    return f"{readable}-{hashlib.sha256(node_name.encode()).hexdigest()[:8]}"
