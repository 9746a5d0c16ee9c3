"""The door of the guard: who asks, and whether they may, before anything that they send is read.

Whatever stands in no table is nobody's: without a key nobody learns which addresses there are.
"""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from starlette.datastructures import Headers
from starlette.routing import compile_path

from pipeline.serving import access
from pipeline.serving.keys import Client, Key, Why, recognised

CLIENT = "medsecure.client"  # in the scope of a request: who was let in
PLACES = {
    endpoint: (endpoint.partition(" ")[0], compile_path(endpoint.partition(" ")[2])[0])
    for endpoint in access.ACCESS
}


class Refused(Exception):
    """Somebody who is not let in: a status of HTTP and a line."""

    def __init__(self, status: int, why: str, *, unknown: bool = False) -> None:
        """With the line as its text, and whether a key was shown that nobody knows."""
        super().__init__(why)
        self.status, self.unknown = status, unknown


def endpoint_of(method: str, path: str) -> str | None:
    """The endpoint of the table of access that a request is for; None = of none."""
    for endpoint, (own, pattern) in PLACES.items():
        if own == method and pattern.match(path):
            return endpoint
    return None


def let_in(
    scope: Mapping[str, Any], find: Callable[[str], Key | None], now: datetime
) -> Client | None:
    """Who asks; None at an address that is open to everybody.

    A client whose role may do nothing at an address that stands nowhere hears so from the router.

    Args:
        scope: of ASGI, of one request.
        find: the stored key of an id.
        now: with a zone.

    Raises:
        Refused: no key, one that is not valid, or one of a role that may not ask here.
    """
    if scope["path"] in access.OPEN:
        return None
    sent = Headers(raw=scope["headers"]).get("authorization", "")
    scheme, _, token = sent.partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise Refused(401, "a key is needed: Authorization: Bearer <key>")
    client = recognised(token, find, now)
    if isinstance(client, Why):
        raise Refused(401, "this key is not known, has expired or was revoked", unknown=True)
    endpoint = endpoint_of(scope["method"], scope["path"])
    if endpoint is not None and not access.allowed(client.role, endpoint):
        raise Refused(403, f"not for the role {client.role}")
    return client
