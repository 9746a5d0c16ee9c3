"""Starts the worker processes of the guard: `python -m pipeline.serving <folder>`."""

import os
import socket
from pathlib import Path

from pipeline.files import BadInput
from pipeline.serving.served import Served

FOLDER = "MEDSECURE_GUARD"  # in the environment of the workers


def run_server(folder: Path) -> None:
    """Serves until somebody ends it.

    Raises:
        BadInput: the folder holds nothing that may be served, or its address is taken.
    """
    import uvicorn

    from pipeline.serving.patience import Impatient

    policy = Served.load(folder).policy
    _check_free(policy.host, policy.port)
    os.environ[FOLDER] = str(folder.resolve())
    uvicorn.run(
        "pipeline.serving.app:made",
        factory=True,
        host=policy.host,
        port=policy.port,
        workers=policy.workers,
        loop="asyncio",
        http=Impatient,
        ws="none",
        lifespan="on",
        access_log=False,
        log_level="warning",
        server_header=False,
        proxy_headers=False,
        limit_concurrency=policy.limits.connections,
        timeout_keep_alive=max(1, round(policy.limits.seconds)),
        timeout_graceful_shutdown=10,
    )


def _check_free(host: str, port: int) -> None:
    """Says so in a line where somebody listens there already; uvicorn would end with a code."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as one:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            one.bind((host, port))
        except OSError as error:
            raise BadInput(f"{host}:{port}: {error.strerror}; serving.port=N is another") from error
