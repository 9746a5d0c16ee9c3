"""The guard over HTTP: who asks, whether they may, and what they are told.

What is decided about records is decided in `pipeline.serving.guard`; here are addresses, JSON and
status codes. No answer holds a stack trace, a path of this machine, or another client's values.
"""

import os
import sys
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Annotated, Any

import torch
from fastapi import Depends, FastAPI, HTTPException, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse, PlainTextResponse
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException as HTTPError
from starlette.types import Scope

from pipeline.files import BadInput
from pipeline.presentation.policies import source_of
from pipeline.serving import access, bodies, console, ruling, switch
from pipeline.serving.door import CLIENT, Refused, let_in
from pipeline.serving.facts import described
from pipeline.serving.guard import Guard, Unanswered
from pipeline.serving.journal import Unavailable
from pipeline.serving.keys import Client, Role
from pipeline.serving.metrics import exposition
from pipeline.serving.mlflow_protocol import frame_of, predictions_of
from pipeline.serving.patience import PLAIN, Bounded, refused
from pipeline.serving.server import FOLDER

Number = Annotated[int, Query(ge=0, le=2**63 - 1)]  # as SQLite holds them
LIVE = Path(__file__).with_name("live.html")
ASKED_FOR = {401: {"www-authenticate": "Bearer"}}  # headers of a refusal, by its status
PROTOCOL = "3.0"  # of MLflow, whose scoring protocol `/invocations` speaks


def now() -> datetime:
    """The time of a request."""
    return datetime.now(UTC)


def application(guard: Guard) -> Any:
    """All of it as one ASGI application."""
    limits = guard.model.served.policy.limits
    app = FastAPI(
        title="medsecure guard",
        description="Answers what is proved at the radius r, refers everything else to a person.",
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        redirect_slashes=False,
        lifespan=_closing(guard),
    )
    app.middleware("http")(_headed)
    app.add_exception_handler(RequestValidationError, _ill_typed)
    app.add_exception_handler(HTTPError, _refused)
    app.add_exception_handler(Unanswered, _unanswered)
    app.add_exception_handler(Unavailable, _unavailable)
    app.add_exception_handler(BadInput, _bad_input)
    app.add_exception_handler(Exception, _unforeseen)
    _open_routes(app, guard)
    _asking_routes(app, guard)
    _watching_routes(app, guard)
    _ruling_routes(app, guard)
    return Bounded(app, door=_door(guard), most=limits.body_bytes, seconds=limits.seconds)


def _closing(guard: Guard) -> Callable[[FastAPI], Any]:
    @asynccontextmanager
    async def lifespan(app: FastAPI) -> Any:
        yield
        guard.close(now())

    return lifespan


# ---- who ----


def _door(guard: Guard) -> Callable[[Scope], Awaitable[Response | None]]:
    """Of a request, before its body is read: who asks stands in its scope, or why nobody is."""

    def opened(scope: Scope) -> Response | None:
        try:
            scope[CLIENT] = let_in(scope, guard.journal.key, now())
        except Refused as error:
            guard.unknown += error.unknown
            return refused(error.status, str(error), headers=ASKED_FOR.get(error.status))
        except Unavailable as error:
            return _unread(error)
        except Exception as error:
            return _unforeseen(None, error)
        return None

    return lambda scope: run_in_threadpool(opened, scope)


def _client(request: Request) -> Client:
    """A dependency: who was let in, if its role may call the very endpoint that was found."""
    client: Client | None = request.scope.get(CLIENT)
    endpoint = f"{request.method} {request.scope['route'].path}"
    if client is None or not access.allowed(client.role, endpoint):
        raise HTTPException(403, "nobody may ask here")
    return client


# ---- faults ----


async def _headed(
    request: Request, following: Callable[[Request], Awaitable[Response]]
) -> Response:
    response = await following(request)
    for name, value in PLAIN.items():
        response.headers.setdefault(name, value)
    return response


def _ill_typed(request: Request, error: Any) -> Response:
    """A body of another shape: each fault with its place, and no value of the body."""
    lines = [
        f"{'.'.join(str(part) for part in one['loc'])}: {one['msg']}" for one in error.errors()
    ]
    return refused(422, *lines[:20])


def _refused(request: Request, error: Any) -> Response:
    return refused(error.status_code, str(error.detail), headers=error.headers)


def _unanswered(request: Request, error: Any) -> Response:
    extra = {"retry-after": "60"} if error.status == 429 else None
    return refused(error.status, str(error), headers=extra)


def _unavailable(request: Request, error: Any) -> Response:
    if request.method == "GET":
        return _unread(error)
    print(f"guard: {error}", file=sys.stderr, flush=True)
    return refused(503, "the log cannot be written, so nothing is answered")


def _unread(error: Unavailable) -> Response:
    print(f"guard: {error}", file=sys.stderr, flush=True)
    return refused(503, "the log cannot be read, so nothing is answered")


def _bad_input(request: Request, error: Any) -> Response:
    return refused(422, *str(error).splitlines())


def _unforeseen(request: Request | None, error: Any) -> Response:
    """Its kind and line go to the terminal, and nothing that it says: that may hold a value."""
    trace = error.__traceback__
    while trace and trace.tb_next:
        trace = trace.tb_next
    where = f"{Path(trace.tb_frame.f_code.co_filename).name}:{trace.tb_lineno}" if trace else "?"
    print(f"guard: {type(error).__name__} at {where}", file=sys.stderr, flush=True)
    return refused(500, "an error that nobody foresaw; nothing was answered")


# ---- routes ----


def _open_routes(app: FastAPI, guard: Guard) -> None:
    page = LIVE.read_text(encoding="utf-8")
    rules = own_parts(page)

    @app.get("/health")
    @app.get("/ping")
    def health() -> Response:
        """Whether it answers: serving, refer all or stopped."""
        mode = guard.journal.state().mode
        return JSONResponse({"state": str(mode)}, 503 if mode == "stopped" else 200)

    @app.get("/version")
    def version() -> PlainTextResponse:
        """Of the protocol of MLflow that `/invocations` speaks."""
        return PlainTextResponse(PROTOCOL)

    @app.get("/live")
    def live() -> HTMLResponse:
        """The page of a monitor; it holds no data and asks for a key."""
        return HTMLResponse(page, headers={"content-security-policy": rules})

    @app.get("/openapi.json", dependencies=[Depends(_client)])
    def openapi() -> dict[str, Any]:
        """This description."""
        return app.openapi()


def own_parts(page: str) -> str:
    """The policy under which a page runs its own script and style, by digest, and no other."""
    rules = [PLAIN["content-security-policy"], "connect-src 'self'"]
    for part in ("script", "style"):
        text = page.split(f"<{part}>", 1)[1].split(f"</{part}>", 1)[0]
        rules.append(f"{part}-src '{source_of(text)}'")
    return "; ".join([*rules, "base-uri 'none'", "form-action 'none'"])


def _asking_routes(app: FastAPI, guard: Guard) -> None:
    client = Depends(_client)

    @app.get("/v1/model")
    def model(who: Client = client) -> dict[str, Any]:
        """What is served: digests, threat, radius, columns with unit, range and resolution."""
        return described(guard.model, who.role)

    @app.post("/v1/predict")
    def predict(asked: bodies.Asked, who: Client = client) -> dict[str, Any]:
        """An answer, a referral or the faults of each record, in order."""
        _check_count(len(asked.records), guard)
        told = guard.ask(asked.records, who, "/v1/predict", now())
        return {"release_sha256": guard.model.served.release_sha256, "answers": told}

    @app.post("/invocations")
    def invocations(asked: bodies.Invocation, who: Client = client) -> dict[str, Any]:
        """The same by MLflow's protocol; a decision that is not given is null."""
        records = frame_of(asked)
        _check_count(len(records), guard)
        told = guard.ask(records, who, "/invocations", now())
        return {"predictions": predictions_of(told, guard.model.schema.classes)}

    @app.post("/v1/diagnoses")
    def diagnoses(told: bodies.Diagnoses, who: Client = client) -> dict[str, Any]:
        """What came of those whose record was answered or referred, by the id of the answer."""
        _check_count(len(told.diagnoses), guard)
        pairs = [(one.id, one.ill) for one in told.diagnoses]
        return {"taken": guard.learn(pairs, who, now())}


def _watching_routes(app: FastAPI, guard: Guard) -> None:
    client = Depends(_client)

    @app.get("/v1/status")
    def status(who: Client = client) -> dict[str, Any]:
        """State of the switch, counts, alarms and their streams."""
        return guard.status()

    @app.get("/metrics")
    def metrics(who: Client = client) -> PlainTextResponse:
        """For Prometheus."""
        shown, mode = guard.watch.shown(guard.journal.kept()), guard.journal.state().mode
        text = exposition(shown, str(mode), guard.unknown)
        return PlainTextResponse(text, media_type="text/plain; version=0.0.4")

    @app.get("/v1/log")
    def log(after: Number = 0, most: Number = 1000, who: Client = client) -> dict[str, Any]:
        """Rows as they are kept, records sealed; `medsecure log show` opens those of a copy."""
        rows = islice(guard.journal.rows(after=after), min(max(most, 1), 1000))
        return {"rows": ruling.plain(list(rows))}

    @app.get("/v1/log/faults")
    def faults(who: Client = client) -> dict[str, Any]:
        """What is wrong with the chain; nothing, if it is intact up to the last head."""
        return {"faults": console.faults(guard.folder)}


def _ruling_routes(app: FastAPI, guard: Guard) -> None:
    client = Depends(_client)

    @app.get("/v1/keys")
    def keys(who: Client = client) -> dict[str, Any]:
        """All keys without their secrets."""
        return {"keys": [ruling.told(one) for one in guard.journal.every_key()]}

    @app.post("/v1/keys", status_code=201)
    def issue(asked: bodies.NewKey, who: Client = client) -> dict[str, Any]:
        """A new key; its secret is told this once."""
        days, role = asked.days, Role(asked.role)
        made, token = ruling.issued(guard.journal, asked.client, role, days=days, by=who, now=now())
        return {**ruling.told(made), "token": token}

    @app.delete("/v1/keys/{key}")
    def revoke(key: str, who: Client = client) -> dict[str, Any]:
        """Takes a key back."""
        return ruling.told(ruling.revoked(guard.journal, key, by=who, now=now()))

    @app.post("/v1/stop")
    def stop(asked: bodies.Reason, who: Client = client) -> dict[str, Any]:
        """No answer after this, in any worker, whatever is restarted."""
        state = switch.stop(guard.journal, by=who, reason=asked.reason, now=now())
        return {"state": str(state.mode), "reason": state.reason}

    @app.post("/v1/start")
    def start(asked: bodies.Reason, who: Client = client) -> dict[str, Any]:
        """Proposes a start; that of a second administrator confirms it."""
        within = timedelta(minutes=guard.model.served.policy.second_minutes)
        said = ruling.started(guard.journal, by=who, reason=asked.reason, now=now(), within=within)
        return {"said": said, "state": str(guard.journal.state().mode)}


def _check_count(count: int, guard: Guard) -> None:
    most = guard.model.served.policy.limits.records
    if not 1 <= count <= most:
        raise HTTPException(422, f"{count} records; expected 1 to {most} in one request")


def made() -> Any:
    """The application of a worker process, from the folder that its environment names.

    It computes on one thread: sums of several end in other bits when the machine is busy, and an
    incident could not be replayed. More workers use more cores.
    """
    torch.set_num_threads(1)
    return application(Guard.open(Path(os.environ[FOLDER])))
