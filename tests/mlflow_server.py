"""A server of MLflow's on loopback, for as long as a test needs it."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.request import urlopen

from pipeline.api.verbs import QUIET

PATIENCE_S = 120  # until it answers


@contextmanager
def served(store: str, folder: Path, *options: str) -> Iterator[str]:
    """The address of a server of the store, started in the folder; it ends with the block."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    where = ["--host", "127.0.0.1", "--port", str(port), "--backend-store-uri", store, *options]
    process = subprocess.Popen(
        [sys.executable, "-m", "mlflow", "server", "--workers", "1", *where],
        cwd=folder,
        env=os.environ | QUIET,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        address, end = f"http://127.0.0.1:{port}", time.monotonic() + PATIENCE_S
        while time.monotonic() < end:
            try:
                urlopen(f"{address}/health", timeout=1).close()
                break
            except OSError:
                time.sleep(0.3)
        yield address
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(30)
