"""Requests that come in pieces, slowly or without an end: how long the server waits."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping

from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

MOMENT = 1.0  # seconds for which the request of somebody who is refused is read
PLAIN = {  # headers of every reply
    "cache-control": "no-store",
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
}


class Impatient(H11Protocol):
    """Closes a connection whose request line and headers are not there in time.

    uvicorn itself only closes what is silent; a client that sends a header a second holds a
    connection for ever.
    """

    _overdue: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """The clock starts."""
        super().connection_made(transport)
        self._wait()

    def handle_events(self) -> None:
        """The clock stops once the headers are whole."""
        before = self.cycle
        super().handle_events()
        if self.cycle is not before:
            self._stop()

    def on_response_complete(self) -> None:
        """The clock starts again, for the next request."""
        self._wait()
        super().on_response_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nobody is waited for."""
        self._stop()
        super().connection_lost(exc)

    def _wait(self) -> None:
        self._stop()
        self._overdue = self.loop.call_later(self.timeout_keep_alive, self.transport.close)

    def _stop(self) -> None:
        if self._overdue is not None:
            self._overdue.cancel()
            self._overdue = None


class Bounded:
    """Reads the whole of a request before it is looked at: so many bytes, in so many seconds.

    Who is refused at the door is not waited for: what they send is read for a moment, so that they
    hear why, and thrown away.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        door: Callable[[Scope], Awaitable[Response | None]],
        most: int,
        seconds: float,
    ) -> None:
        """Around an application.

        Args:
            app: what is asked.
            door: of one request, what is said instead of an answer; None = it is let in.
            most: bytes of a body.
            seconds: until it is there.
        """
        self.app, self.door, self.most, self.seconds = app, door, most, seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        refusal = await self.door(scope)
        seconds = self.seconds if refusal is None else min(self.seconds, MOMENT)
        body, status, why = None, 413, f"the request is larger than {self.most} bytes"
        try:
            body = await asyncio.wait_for(self._body(receive, refusal is None), seconds)
        except TimeoutError:
            status, why = 408, f"the request was not there after {self.seconds:g} seconds"
        if refusal is not None or body is None:
            refusal = refusal or refused(status, why)
            if body is None:
                refusal.headers["connection"] = "close"
            await refusal(scope, receive, send)
            return
        given: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

        async def again() -> Message:
            return given.pop() if given else await receive()

        await self.app(scope, again, send)

    async def _body(self, receive: Receive, keep: bool) -> bytes | None:
        """All of it, if it is kept; None: it is too large. Nobody may be there any more."""
        body, size = bytearray(), 0
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                return b""
            part = message.get("body", b"")
            size += len(part)
            if size > self.most:
                return None
            if keep:
                body += part
            if not message.get("more_body", False):
                return bytes(body)


def refused(status: int, *lines: str, headers: Mapping[str, str] | None = None) -> JSONResponse:
    """What a client is told of a request that is not answered: a line for each fault."""
    return JSONResponse({"faults": list(lines)}, status, headers={**PLAIN, **(headers or {})})
