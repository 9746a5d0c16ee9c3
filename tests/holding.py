"""Processes that claim a key and hold it until they are killed."""

import subprocess
import sys
from contextlib import contextmanager


@contextmanager
def workers():
    """Starts such a process by its code, a key and its environment, and waits for what it says."""
    started = []

    def start(code, key, environment):
        command = [sys.executable, "-c", code, key]
        one = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
        started.append(one)
        return one, one.stdout.readline().strip()

    yield start
    for one in started:
        one.kill()
        one.wait()
        one.stdout.close()
