"""A page in a browser, once its server answers."""

import os
import platform
import time
import webbrowser
from threading import Thread
from urllib.request import urlopen

WAIT, BETWEEN = 60.0, 0.5  # seconds: for a server to start, and between two questions


def has_screen() -> bool:
    """Whether somebody could see a browser's window here."""
    if platform.system() == "Linux":
        return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
    return True


def open_when_ready(server: str, page: str) -> Thread | None:
    """Opens a page as soon as its server answers, without waiting for it; not without a screen.

    Args:
        server: its address.
        page: the address to open.

    Returns:
        the thread that waits; None: nothing will be opened.
    """
    if not has_screen():
        return None
    thread = Thread(target=_open, args=(server, page), daemon=True)
    thread.start()
    return thread


def _open(server: str, page: str) -> None:
    end = time.monotonic() + WAIT
    while time.monotonic() < end:
        try:
            with urlopen(server, timeout=BETWEEN):
                webbrowser.open(page)
                return
        except OSError:
            time.sleep(BETWEEN)
