"""Who asks comes first: no body, type or address changes what a stranger or a wrong role hears."""

import json
import socket
from datetime import timedelta
from itertools import product

import pytest

from pipeline.serving.access import ACCESS, OPEN, allowed
from pipeline.serving.door import PLACES, Refused, endpoint_of, let_in
from pipeline.serving.keys import Role, issue, revoke
from serving.made_up import HEALTHY, NOW, call, served_folder, server

ROLES = [role for role in Role if role != Role.GUARD]
MOST = 20_000  # bytes of a body
BODIES = {  # what nobody can read, as type and bytes; none is a request that does something
    "no JSON": ("application/json", b"{"),
    "not UTF-8": ("application/json", b"\xff\xfe"),
    "nested": ("application/json", b'{"records": ' + b"[" * 5000 + b"]" * 5000 + b"}"),
    "another shape": ("application/json", b'{"records": 1, "reason": 2}'),
    "another type": ("text/plain", json.dumps({"records": [HEALTHY]}).encode()),
    "a form": ("multipart/form-data; boundary=x", b"--x\r\n\r\n--x--\r\n"),
    "too large": ("application/json", b"x" * (MOST + 1)),
}


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    """Port and keys of one guard, and keys that are of no use: by what is wrong with them."""
    folder = tmp_path_factory.mktemp("ward") / "guard"
    limits = {"body_bytes": MOST, "records": 16, "seconds": 30.0, "connections": 64}
    keys = served_folder(folder, limits=limits)
    useless = {"none": None, "wrong": keys["clinician"][:-4] + "0000", "no token": "admin"}
    with server(folder) as port:
        told = {"client": "visitor", "role": "administrator", "days": 1}
        made = call(port, "POST", "/v1/keys", keys["administrator"], told)[1]
        call(port, "DELETE", f"/v1/keys/{made['id']}", keys["administrator"])
        yield port, keys, useless | {"revoked": made["token"]}


def sent(port, endpoint, key, kind):
    """The status of a request whose body nobody can read."""
    method, path = endpoint.split()
    type_, body = BODIES[kind]
    place = path.replace("{key}", "0" * 16)
    return call(port, method, place, key, body, {"content-type": type_})


@pytest.mark.heavy
def test_a_stranger_hears_401_whatever_is_sent_and_wherever(running):
    port, _, useless = running
    nowhere = ("POST /v1/predict/", "GET /docs", "PUT /v1/predict", "POST /", "GET /v1/keys/x/y")
    for number, (endpoint, kind) in enumerate(product([*ACCESS, *nowhere], BODIES)):
        key = list(useless.values())[number % len(useless)]
        status, said = sent(port, endpoint, key, kind)
        assert (status, set(said)) == (401, {"faults"}), (endpoint, kind, key)


@pytest.mark.heavy
def test_a_wrong_role_hears_403_before_anything_of_its_body(running):
    port, keys, _ = running
    for number, (endpoint, role) in enumerate(product(ACCESS, ROLES)):
        for kind in (list(BODIES)[number % len(BODIES)], list(BODIES)[(number + 3) % len(BODIES)]):
            status, said = sent(port, endpoint, keys[role], kind)
            assert (status == 403) is not allowed(role, endpoint), (endpoint, role, kind, said)
            assert status != 401
            if allowed(role, endpoint) and endpoint.startswith("POST"):
                assert status == {"too large": 413, "nested": 400}.get(kind, 422), (endpoint, kind)


@pytest.mark.heavy
def test_a_stranger_is_not_waited_for(running, monkeypatch):
    port, keys, _ = running
    monkeypatch.setattr("pipeline.serving.patience.MOMENT", 0.1)
    head = b"POST /v1/predict HTTP/1.1\r\nhost: x\r\ncontent-length: 1000000000\r\n"
    for extra, status in ((b"", b" 401 "), (bearer(keys["monitor"]), b" 403 ")):
        with socket.create_connection(("127.0.0.1", port), timeout=10) as one:
            one.sendall(head + extra + b"\r\n{")
            got = b""
            while more := one.recv(1000):  # until the server closes the connection
                got += more
            assert status in got.split(b"\r\n")[0]
            assert b"no-store" in got


def bearer(key):
    return f"authorization: Bearer {key}\r\n".encode()


@pytest.mark.heavy
def test_who_is_let_in_hears_of_an_address_that_is_none(running):
    port, keys, _ = running
    for method, path, status in (("GET", "/v1/nothing", 404), ("PUT", "/v1/predict", 405)):
        assert call(port, method, path, keys["administrator"])[0] == status


@pytest.mark.heavy
def test_a_log_that_cannot_be_read_is_said_to_be_so(tmp_path):
    keys = served_folder(tmp_path / "guard")
    with server(tmp_path / "guard") as port:
        (tmp_path / "guard" / "log.sqlite").unlink()
        for method, path in (("GET", "/v1/status"), ("GET", "/health"), ("POST", "/v1/predict")):
            said = call(port, method, path, keys["monitor"])
            assert said == (503, {"faults": ["the log cannot be read, so nothing is answered"]})


# ---- without a server ----


def scope(endpoint, token=None):
    method, path = endpoint.split()
    headers = [(b"authorization", f"Bearer {token}".encode())] if token else []
    return {"method": method, "path": path.replace("{key}", "0" * 16), "headers": headers}


def test_what_is_open_asks_for_nobody_and_everything_else_for_a_key():
    later = NOW + timedelta(days=1)
    key, token = issue("ward", Role.CLINICIAN, now=NOW, expires=later)
    find = {key.id: key}.get
    for path in OPEN:
        assert let_in(scope(f"GET {path}"), find, NOW) is None
    for endpoint in ACCESS:
        with pytest.raises(Refused) as refusal:
            let_in(scope(endpoint), find, NOW)
        assert (refusal.value.status, refusal.value.unknown) == (401, False)
        with pytest.raises(Refused) as refusal:  # it has expired
            let_in(scope(endpoint, token), find, later)
        assert (refusal.value.status, refusal.value.unknown) == (401, True)
        with pytest.raises(Refused):  # it was revoked
            let_in(scope(endpoint, token), {key.id: revoke(key, now=NOW)}.get, NOW)
        if allowed(Role.CLINICIAN, endpoint):
            assert let_in(scope(endpoint, token), find, NOW).name == "ward"
        else:
            with pytest.raises(Refused) as refusal:
                let_in(scope(endpoint, token), find, NOW)
            assert refusal.value.status == 403


def test_the_endpoint_of_a_request_is_that_of_its_method_and_whole_path():
    assert set(PLACES) == set(ACCESS)
    assert endpoint_of("DELETE", "/v1/keys/0123") == "DELETE /v1/keys/{key}"
    for method, path in (("DELETE", "/v1/keys/"), ("GET", "/v1/keys/0123"), ("PUT", "/v1/stop")):
        assert endpoint_of(method, path) is None
    assert endpoint_of("POST", "/v1/predict/more") is None
