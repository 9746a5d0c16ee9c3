"""A page is opened once its server answers, and nowhere that nobody could see it."""

import platform
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread

import pytest

from pipeline.api import browser


class Answer(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_):
        pass


@pytest.fixture
def opened(monkeypatch):
    pages = []
    monkeypatch.setattr("webbrowser.open", pages.append)
    monkeypatch.setattr(browser, "BETWEEN", 0.05)
    monkeypatch.setattr(browser, "has_screen", lambda: True)
    return pages


def test_it_waits_for_a_server_that_starts_later(opened):
    server = HTTPServer(("127.0.0.1", 0), Answer, bind_and_activate=False)
    server.server_bind()
    place = f"http://127.0.0.1:{server.server_address[1]}"
    waiting = browser.open_when_ready(place, f"{place}/page")
    waiting.join(0.2)
    assert opened == []
    server.server_activate()
    Thread(target=server.serve_forever, daemon=True).start()
    waiting.join(10)
    server.shutdown()
    server.server_close()
    assert opened == [f"{place}/page"]


def test_it_gives_up_where_no_server_comes(opened, monkeypatch):
    monkeypatch.setattr(browser, "WAIT", 0.2)
    browser.open_when_ready("http://127.0.0.1:9", "page").join(10)
    assert opened == []


@pytest.mark.parametrize(
    ("system", "display", "seen"),
    [("Linux", "", False), ("Linux", ":0", True), ("Darwin", "", True), ("Windows", "", True)],
)
def test_a_machine_without_a_screen_opens_nothing(monkeypatch, system, display, seen):
    monkeypatch.setattr(platform, "system", lambda: system)
    monkeypatch.setenv("DISPLAY", display)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    assert browser.has_screen() == seen
    monkeypatch.setattr(browser, "has_screen", lambda: False)
    assert browser.open_when_ready("http://127.0.0.1:9", "page") is None
