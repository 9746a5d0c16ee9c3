"""Starts the worker processes of the guard: `python -m pipeline.serving <folder>`."""

import os
from pathlib import Path

from pipeline.serving.served import Served

FOLDER = "MEDSECURE_GUARD"  # in the environment of the workers


def run_server(folder: Path) -> None:
    """Serves until somebody ends it.

    Raises:
        BadInput: the folder holds nothing that may be served.
    """
    import uvicorn

    from pipeline.serving.patience import Impatient

    policy = Served.load(folder).policy
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
