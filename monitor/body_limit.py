"""No request's body is read further than a bound, but by a route that streams it by its own."""

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

MAXIMUM_BODY_BYTES = 32 << 20
"""Thirty structures as large as any that are drawn have less than a tenth of this."""


class BodyLimit:
    """Answers 413 where a body is longer.

    Parameters
    ----------
    streamed
        Ends of the paths whose routes keep to a bound of their own.
    """

    def __init__(self, app: ASGIApp, streamed: tuple[str, ...]) -> None:
        self._app = app
        self._streamed = streamed

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"].endswith(self._streamed):
            await self._app(scope, receive, send)
            return
        seen = 0

        async def bounded() -> Message:
            nonlocal seen
            message = await receive()
            seen += len(message.get("body", b""))
            if seen > MAXIMUM_BODY_BYTES:
                raise HTTPException(413, "What was sent is too large.")
            return message

        await self._app(scope, bounded, send)
