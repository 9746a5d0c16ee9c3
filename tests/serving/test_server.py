"""Starting: what cannot be served, or where, is one line."""

import socket

import pytest

from pipeline.files import BadInput
from pipeline.serving.server import run_server
from serving.made_up import served_folder


def test_an_address_that_is_taken_is_one_line(tmp_path):
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        one.listen()
        port = one.getsockname()[1]
        served_folder(tmp_path / "guard", port=port)
        with pytest.raises(BadInput, match=f"127.0.0.1:{port}: .*in use"):
            run_server(tmp_path / "guard")


def test_a_folder_that_holds_nothing_is_one_line(tmp_path):
    with pytest.raises(BadInput, match="not found"):
        run_server(tmp_path)
