"""The guard over HTTP, by its own server: who may do what, and what leaves."""

import json
import socket
import time
from itertools import product

import pytest

from pipeline.serving.access import ACCESS, OPEN, allowed
from pipeline.serving.console import faults
from pipeline.serving.keys import Role
from serving.made_up import HEALTHY, ILL, NEAR, call, served_folder, server

pytestmark = pytest.mark.heavy
ROLES = [role.value for role in Role if role != Role.GUARD]


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    """Port, keys and folder of one guard."""
    folder = tmp_path_factory.mktemp("ward") / "guard"
    keys = served_folder(folder, limits=LIMITS)
    with server(folder) as port:
        yield port, keys, folder


LIMITS = {"body_bytes": 20_000, "records": 16, "seconds": 1.0, "connections": 64}


def ask(running, *records, role="clinician"):
    port, keys, _ = running
    return call(port, "POST", "/v1/predict", keys[role], {"records": list(records)})


def test_a_proved_record_is_answered_one_that_could_turn_is_referred(running):
    status, said = ask(running, HEALTHY, NEAR, ILL)
    assert status == 200
    healthy, near, ill = said["answers"]
    assert (healthy["decision"], ill["decision"]) == ("healthy", "ill")
    assert healthy["certificate"] == {"r": 0.1, "threat": "clinical"}
    assert "decision" not in near
    assert near["referred"] == "an admissible change within r = 0.1 would turn the answer"


def test_one_inadmissible_record_fails_no_other(running):
    _, said = ask(running, {**HEALTHY, "pulse": 59}, HEALTHY, {"pulse": 60}, "text", None, [1])
    refused, fine, *others = said["answers"]
    assert refused == {
        "refused": ["column 'pulse': 59 is outside the plausible range 60 to 80 unit"]
    }
    assert fine["decision"] == "healthy"
    assert all(set(one) == {"refused"} for one in others)


def test_a_role_is_told_no_more_than_its_policy(running):
    _, said = ask(running, ILL, role="researcher")
    assert set(said["answers"][0]) == {"id", "decision", "certificate"}
    _, said = ask(running, ILL)
    assert said["answers"][0]["probability"] == 0.9  # of 0.88


@pytest.mark.parametrize(
    "body",
    [
        {"dataframe_records": [HEALTHY, NEAR]},
        {
            "dataframe_split": {
                "columns": list(HEALTHY),
                "data": [list(one.values()) for one in (HEALTHY, NEAR)],
            }
        },
        {"instances": [HEALTHY, NEAR]},
        {"inputs": {name: [HEALTHY[name], NEAR[name]] for name in HEALTHY}},
    ],
)
def test_mlflows_protocol_asks_the_same(running, body):
    port, keys, _ = running
    status, said = call(port, "POST", "/invocations", keys["clinician"], body)
    first, second = said["predictions"]
    assert (status, first["decision"], first["ill"], first["healthy"]) == (200, "healthy", 0.1, 0.9)
    assert (second["decision"], second["ill"], second["healthy"]) == (None, None, None)
    assert "referred" in second


def test_every_route_stands_in_the_table_of_access(running):
    port, keys, _ = running
    _, described = call(port, "GET", "/openapi.json", keys["auditor"])
    routes = {
        f"{method.upper()} {path}"
        for path, methods in described["paths"].items()
        for method in methods
    }
    assert routes - {f"GET {path}" for path in OPEN} <= set(ACCESS)
    assert set(ACCESS) <= routes | {"GET /openapi.json"}


BODIES = {
    "POST /v1/predict": {"records": [HEALTHY]},
    "POST /invocations": {"instances": [HEALTHY]},
    "POST /v1/diagnoses": {"diagnoses": []},
    "POST /v1/keys": {"client": "other", "role": "monitor", "days": 1},
    "POST /v1/stop": {"reason": ""},
    "POST /v1/start": {"reason": "again"},
}


def test_every_endpoint_answers_the_roles_of_the_policy_and_nobody_else(running):
    port, keys, _ = running
    wrong = keys["clinician"][:-1] + ("0" if keys["clinician"][-1] != "0" else "1")
    none = f"msk_{'0' * 16}_{'0' * 64}"
    for endpoint in ACCESS:
        method, path = endpoint.split()
        place, body = path.replace("{key}", "0" * 16), BODIES.get(endpoint)
        for token in (None, "", wrong, none, "admin"):
            status, said = call(port, method, place, token, body)
            assert (status, set(said)) == (401, {"faults"}), (endpoint, token)
        for role in ROLES:
            status, _ = call(port, method, place, keys[role], body)
            assert (status == 403) is not allowed(role, endpoint), (endpoint, role, status)
            assert status != 401
            assert status < 500


def test_no_role_may_do_everything():
    for role in ROLES:
        assert not all(role in roles for roles in ACCESS.values())
    assert not allowed("clinician", "POST /v1/anything")


def test_a_key_that_is_revoked_opens_nothing(running):
    port, keys, _ = running
    body = {"client": "visitor", "role": "clinician", "days": 1}
    status, made = call(port, "POST", "/v1/keys", keys["administrator"], body)
    assert status == 201
    assert call(port, "GET", "/v1/model", made["token"])[0] == 200
    _, told = call(port, "DELETE", f"/v1/keys/{made['id']}", keys["administrator"])
    assert told["revoked"]
    assert call(port, "GET", "/v1/model", made["token"])[0] == 401
    _, listed = call(port, "GET", "/v1/keys", keys["administrator"])
    assert made["token"].split("_")[2] not in json.dumps(listed)


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ("", 422),
        ("{", 422),
        ("null", 422),
        ("[]", 422),
        ('{"records": []}', 422),
        ('{"records": 1}', 422),
        ('{"records": [{}], "other": 1}', 422),
        (json.dumps({"records": [HEALTHY] * 17}), 422),
        ('{"records": [' + "[" * 5000 + "]" * 5000 + "]}", 400),
        (b"\xff\xfe", 422),
        ("x" * 20_001, 413),
    ],
)
def test_a_body_that_is_none_is_refused_without_a_trace(running, body, status):
    port, keys, _ = running
    found, said = call(port, "POST", "/v1/predict", keys["clinician"], body)
    assert found == status
    assert set(said) == {"faults"}
    assert "Traceback" not in json.dumps(said)
    assert ".py" not in json.dumps(said)


@pytest.mark.parametrize(
    "value", ["NaN", "Infinity", "-Infinity", "1e400", "[]", "{}", "true", '"x"', "1e308"]
)
def test_a_value_that_is_none_is_refused_by_its_column(running, value):
    port, keys, _ = running
    body = json.dumps({"records": [{**HEALTHY, "potassium": 0}]}).replace("0,", f"{value},", 1)
    status, said = call(port, "POST", "/v1/predict", keys["clinician"], body)
    assert status == 200
    assert "potassium" in said["answers"][0]["refused"][0]


@pytest.mark.slow
def test_whoever_sends_slowly_is_not_waited_for(running):
    port, keys, _ = running
    head = f"POST /v1/predict HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {keys['clinician']}\r\n"
    for sent in ("GET /health HTTP/1.1\r\nx-", f"{head}content-length: 100\r\n\r\n{{"):
        with socket.create_connection(("127.0.0.1", port), timeout=5) as one:
            one.sendall(sent.encode())
            start, got = time.monotonic(), b""
            while time.monotonic() - start < 4:
                try:
                    one.sendall(b"a")
                    one.settimeout(0.3)
                    got += (more := one.recv(1000))
                    if not more:
                        break
                except TimeoutError:
                    continue
                except OSError:
                    break
            assert time.monotonic() - start < 3
            assert not got or b" 408 " in got


def test_every_answer_has_its_row_and_the_log_is_intact(running):
    port, keys, folder = running
    _, said = ask(running, HEALTHY, NEAR)
    _, log = call(port, "GET", "/v1/log?after=0", keys["auditor"])
    facts = {
        json.loads(row["facts"]).get("id"): row for row in log["rows"] if row["facts"] != "null"
    }
    for one in said["answers"]:
        row = facts[one["id"]]
        assert row["kind"] == ("referred" if "referred" in one else "answered")
        assert "4.0" not in str(row["sealed"])
    assert call(port, "GET", "/v1/log/faults", keys["auditor"]) == (200, {"faults": []})
    assert faults(folder) == []
    assert "potassium" not in json.dumps([row["facts"] for row in log["rows"]])


@pytest.mark.parametrize("number", [2**63, 2**64, -1, "x", "1e3", "", 10**400])
def test_a_number_that_no_row_can_have_is_refused(running, number):
    port, keys, _ = running
    status, said = call(port, "GET", f"/v1/log?after={number}", keys["auditor"])
    assert (status, set(said)) == (422, {"faults"})
    largest = call(port, "GET", f"/v1/log?after={2**63 - 1}&most={2**63 - 1}", keys["auditor"])
    assert largest == (200, {"rows": []})


def test_diagnoses_are_taken_once_and_by_id(running):
    port, keys, _ = running
    _, said = ask(running, HEALTHY, NEAR)
    told = {"diagnoses": [{"id": one["id"], "ill": True} for one in said["answers"]]}
    assert call(port, "POST", "/v1/diagnoses", keys["clinician"], told) == (200, {"taken": 2})
    assert call(port, "POST", "/v1/diagnoses", keys["clinician"], told) == (200, {"taken": 0})
    unknown = {"diagnoses": [{"id": "0" * 16, "ill": True}]}
    assert call(port, "POST", "/v1/diagnoses", keys["clinician"], unknown)[0] == 404


def test_prometheus_reads_counts_and_no_client(running):
    port, keys, _ = running
    ask(running, HEALTHY)
    status, text = call(port, "GET", "/metrics", keys["monitor"])
    assert status == 200
    assert 'medsecure_records_total{kind="answered"}' in text
    assert 'medsecure_state{state="serving"} 1.0' in text
    assert "clinician" not in text


@pytest.mark.parametrize(
    ("path", "method"), product(["/docs", "/redoc", "/", "/v1/predict/"], ["GET", "POST"])
)
def test_what_stands_nowhere_is_nobodys(running, path, method):
    port, keys, _ = running
    assert call(port, method, path, keys["administrator"])[0] in (404, 405)


def test_a_stop_ends_all_answers_and_one_administrator_starts_nothing(tmp_path):
    keys = served_folder(tmp_path / "guard")
    with server(tmp_path / "guard") as port:
        asked = ("POST", "/v1/predict", keys["clinician"], {"records": [HEALTHY]})
        assert call(port, *asked)[0] == 200
        admin, second = keys["administrator"], keys["second"]
        assert call(port, "POST", "/v1/stop", admin, {"reason": "a test"})[0] == 200
        status, said = call(port, *asked)
        assert (status, said) == (503, {"faults": ["stopped: a test"]})
        assert call(port, "GET", "/health") == (503, {"state": "stopped"})
        for _ in range(2):
            status, said = call(port, "POST", "/v1/start", admin, {"reason": "mended"})
            assert said["state"] == "stopped"
            assert call(port, *asked)[0] == 503
    with server(tmp_path / "guard") as port:  # it is stopped after a restart, too
        assert call(port, *asked)[0] == 503
        _, said = call(port, "POST", "/v1/start", second, {"reason": "looked at"})
        assert said["state"] == "serving"
        assert call(port, *asked)[0] == 200


def test_a_budget_outlives_a_restart(tmp_path):
    roles = {role: {"answers": "decision", "lifetime": 3} for role in ("clinician", "researcher")}
    keys = served_folder(tmp_path / "guard", roles=roles)
    asked = ("POST", "/v1/predict", keys["clinician"])
    with server(tmp_path / "guard") as port:
        assert call(port, *asked, {"records": [HEALTHY] * 2})[0] == 200
        assert call(port, *asked, {"records": [HEALTHY] * 2})[0] == 429
    with server(tmp_path / "guard") as port:
        assert call(port, *asked, {"records": [HEALTHY]})[0] == 200
        assert call(port, *asked, {"records": [HEALTHY]})[0] == 429


def test_the_page_runs_its_own_script_alone(running):
    from http.client import HTTPConnection

    connection = HTTPConnection("127.0.0.1", running[0])
    connection.request("GET", "/live")
    answer = connection.getresponse()
    rules = answer.headers["content-security-policy"]
    assert "unsafe" not in rules
    assert "script-src 'sha256-" in rules
    connection.close()
