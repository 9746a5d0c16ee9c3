"""A headless Chromium spoken to through a pipe: what a page looks like where it is read."""

import base64
import fcntl
import json
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
COMMAND = next(filter(None, map(shutil.which, NAMES)), None)
needs_chromium = pytest.mark.skipif(COMMAND is None, reason=f"none of {', '.join(NAMES)} is here")
MOST = 1 << 20  # bytes read at once
SENT = "Network.requestWillBeSent"
FIRST_FREE = 100  # descriptors from here on are nobody's


class Browser:
    """One page of one Chromium; the protocol is that of DevTools, messages end with a zero byte."""

    def __init__(self):
        self.home = tempfile.mkdtemp()
        theirs, self.writes = os.pipe()
        self.reads, answers = os.pipe()
        theirs, answers = (fcntl.fcntl(one, fcntl.F_DUPFD, FIRST_FREE) for one in (theirs, answers))

        def placed():
            os.dup2(theirs, 3)
            os.dup2(answers, 4)

        flags = ("--headless=new", "--no-sandbox", "--disable-gpu", "--remote-debugging-pipe")
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        command = [COMMAND, *flags, f"--user-data-dir={self.home}", "about:blank"]
        self.process = subprocess.Popen(command, preexec_fn=placed, pass_fds=(3, 4), **quiet)
        os.close(theirs)
        os.close(answers)
        self.number, self.left, self.events, self.session = 0, b"", [], None
        pages = self("Target.getTargets")["targetInfos"]
        target = next(one["targetId"] for one in pages if one["type"] == "page")
        found = self("Target.attachToTarget", targetId=target, flatten=True)
        self.session = found["sessionId"]
        for domain in ("Page", "Network", "Log"):
            self(f"{domain}.enable")

    def __call__(self, method, **params):
        """What a method answers."""
        self.number += 1
        asked = {"id": self.number, "method": method, "params": params}
        if self.session:
            asked["sessionId"] = self.session
        os.write(self.writes, json.dumps(asked).encode() + b"\0")
        while True:
            said = self._next()
            if said.get("id") == self.number:
                assert "error" not in said, said["error"]
                return said["result"]
            self.events.append(said)

    def _next(self):
        while b"\0" not in self.left:
            read = os.read(self.reads, MOST)
            assert read, "Chromium has ended"
            self.left += read
        said, self.left = self.left.split(b"\0", 1)
        return json.loads(said)

    def open(self, path, width=1280, height=900, media="screen", dark=False):
        """Shows a file at a width, and waits until it is there."""
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
        self("Emulation.setDeviceMetricsOverride", **size)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self("Emulation.setEmulatedMedia", media=media, features=[scheme])
        self.events.clear()
        self("Page.navigate", url=Path(path).resolve().as_uri())
        while not any(one.get("method") == "Page.loadEventFired" for one in self.events):
            self.events.append(self._next())

    def run(self, script):
        """What a piece of script returns, a promise when it is kept."""
        how = {"awaitPromise": True, "returnByValue": True}
        found = self("Runtime.evaluate", expression=script, **how)
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    def requests(self):
        """What the page asked others for since it was opened."""
        sent = [one["params"] for one in self.events if one.get("method") == SENT]
        urls = [one["request"]["url"] for one in sent if one["type"] != "Document"]
        return [url for url in urls if not url.startswith("data:")]

    def complaints(self):
        """What the browser has against the page."""
        entries = [
            one["params"]["entry"] for one in self.events if one.get("method") == "Log.entryAdded"
        ]
        return [one["text"] for one in entries]

    def printed(self, **how):
        """The page as PDF, as paper shows it, whatever it was opened for."""
        self("Emulation.setEmulatedMedia", media="print", features=[])
        found = self("Page.printToPDF", preferCSSPageSize=True, printBackground=True, **how)
        return base64.b64decode(found["data"])

    def picture(self, whole=False):
        """The page as PNG."""
        return base64.b64decode(self("Page.captureScreenshot", captureBeyondViewport=whole)["data"])

    def close(self):
        """Ends it, and removes what it wrote."""
        self.process.terminate()
        self.process.wait()
        os.close(self.writes)
        os.close(self.reads)
        shutil.rmtree(self.home, ignore_errors=True)
