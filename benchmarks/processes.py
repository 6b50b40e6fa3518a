"""Which process of the service has a connection, and how much memory it holds."""

import socket
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Self

MEGABYTE = 1e6

PATIENCE_S = 5.0

_EVERY_S = 0.005


def tree(root: int) -> list[int]:
    """A process and all that come of it."""
    found, waiting = [], [root]
    while waiting:
        pid = waiting.pop()
        found.append(pid)
        for children in Path(f"/proc/{pid}/task").glob("*/children"):
            try:
                waiting += [int(child) for child in children.read_text().split()]
            except OSError:
                continue  # a thread that has just ended
    return found


def listener_of(root: int, port: int, patience_s: float = PATIENCE_S) -> int:
    """The process among a service's that takes connections to a port.

    Raises
    ------
    RuntimeError
        None of them does.
    """
    with socket.create_connection(("127.0.0.1", port)) as ours:
        end = time.monotonic() + patience_s
        while time.monotonic() < end:
            inode = _inode(port, ours.getsockname()[1])
            for pid in tree(root) if inode else ():
                if f"socket:[{inode}]" in _handles(pid):
                    return pid
            time.sleep(_EVERY_S)
    raise RuntimeError(f"no process of {root} answers on port {port}")


def _inode(local: int, remote: int) -> str | None:
    """Of the far end of a connection on this machine; None while nobody has accepted it."""
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        _, here, there, _, _, _, _, _, _, inode, *_ = line.split()
        if (int(here[-4:], 16), int(there[-4:], 16)) == (local, remote) and inode != "0":
            return inode
    return None


def _handles(pid: int) -> set[str]:
    found = set()
    for handle in Path(f"/proc/{pid}/fd").glob("*"):
        try:
            found.add(str(handle.readlink()))
        except OSError:
            continue  # closed since
    return found


class PeakMemory:
    """Looks at a process's memory while it is open; a context manager.

    Attributes
    ----------
    before_bytes, anonymous_bytes
        Memory of its own at the beginning, and at most.
    total_before_bytes, total_bytes
        The same with the pages of files that it has mapped, which the system can take back.
    """

    def __init__(self, pid: int) -> None:
        self._status = Path(f"/proc/{pid}/status")
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._look, name="memory")

    def __enter__(self) -> Self:
        self.before_bytes, self.total_before_bytes = self._now()
        self.anonymous_bytes, self.total_bytes = self.before_bytes, self.total_before_bytes
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._ending.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._ending.wait(_EVERY_S):
            anonymous, total = self._now()
            self.anonymous_bytes = max(self.anonymous_bytes, anonymous)
            self.total_bytes = max(self.total_bytes, total)

    def _now(self) -> tuple[int, int]:
        found = dict(
            line.split(":", 1) for line in self._status.read_text().splitlines() if ":" in line
        )
        anonymous, total = (int(found[name].split()[0]) * 1024 for name in ("RssAnon", "VmRSS"))
        return anonymous, total
