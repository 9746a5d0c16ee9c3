"""Requests that come in pieces, slowly or without an end: how long the server waits."""

import asyncio
import json
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol


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
    """Reads the whole of a request before it is looked at: so many bytes, in so many seconds."""

    def __init__(self, app: ASGIApp, *, most: int, seconds: float) -> None:
        """Around an application.

        Args:
            app: what is asked.
            most: bytes of a body.
            seconds: until it is there.
        """
        self.app, self.most, self.seconds = app, most, seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        try:
            body = await asyncio.wait_for(self._body(receive), self.seconds)
        except TimeoutError:
            await _refuse(send, 408, f"the request was not there after {self.seconds:g} seconds")
            return
        if body is None:
            await _refuse(send, 413, f"the request is larger than {self.most} bytes")
            return
        given: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

        async def again() -> Message:
            return given.pop() if given else await receive()

        await self.app(scope, again, send)

    async def _body(self, receive: Receive) -> bytes | None:
        """All of it; None: it is too large, or nobody is there any more."""
        body = bytearray()
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                return b""
            body += message.get("body", b"")
            if len(body) > self.most:
                return None
            if not message.get("more_body", False):
                return bytes(body)


async def _refuse(send: Send, status: int, why: str) -> None:
    body = json.dumps(fault(why)).encode()
    headers = [(b"content-type", b"application/json"), (b"connection", b"close")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def fault(*lines: str) -> dict[str, Any]:
    """What a client is told of a request that cannot be answered: a line for each fault."""
    return {"faults": list(lines)}
