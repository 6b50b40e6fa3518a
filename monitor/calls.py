"""What every route needs: whose page it comes from, and the answer of the pipeline."""

import asyncio
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar
from urllib.parse import urlsplit

from fastapi import HTTPException, Request

from monitor.decisions import CommandError

COMMAND_TIMEOUT_S = 5.0

Answer = TypeVar("Answer")


def same_origin(headers: Any) -> bool:
    """Whether a browser's request comes from a page of ours; programs send no Origin."""
    origin = headers.get("origin")
    return origin is None or urlsplit(origin).netloc == headers.get("host")


def check_origin(request: Request) -> None:
    """Refuse what another site's page asks for."""
    if not same_origin(request.headers):
        raise HTTPException(403, "Only the page that this service serves may do that.")


async def answer_of(call: Callable[[], "Future[Answer]"]) -> Answer:
    """The answer of a command to the pipeline."""
    try:
        return await asyncio.wait_for(asyncio.wrap_future(call()), COMMAND_TIMEOUT_S)
    except TimeoutError:
        raise CommandError("busy", "The service did not answer in time; try again.") from None
