"""The guard under schemathesis: its OpenAPI asked in thousands of ways, by every role.

    python -m venv fuzz && fuzz/bin/pip install schemathesis
    make fuzz-guard FUZZ=fuzz/bin/schemathesis

It is no dependency: it pulls in a web framework's worth of packages. A real server, one role after
another and somebody without a key; the administrator comes last and stops it. Every reply is looked
at: no status of 500 and above but the 503 of a stop, no trace or path of this machine, no success
where `pipeline.serving.access` forbids it. Counts go to `benchmarks/fuzz.json`.
"""

import argparse
import json
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

from benchmarks.problem import load_problem
from benchmarks.served import guarded, released, served_as, unlimited
from pipeline.files import write_json
from pipeline.serving.access import ACCESS, OPEN, allowed

HERE = Path(__file__).parent
NOBODY = "nobody"
ORDER = (NOBODY, "auditor", "monitor", "clinician", "researcher", "administrator")
TRACE = re.compile(r"Traceback|File \"|\.py\b|/site-packages/|/tmp/")


def main(arguments: list[str]) -> int:
    """Asks, counts and prints; the number of replies that should not be."""
    parser = argparse.ArgumentParser("python -m benchmarks.fuzz")
    parser.add_argument("schemathesis", help="the command, from an environment of its own")
    parser.add_argument("--examples", type=int, default=100, help="of each operation and role")
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args(arguments)
    version = subprocess.run(
        [chosen.schemathesis, "--version"], capture_output=True, text=True, check=True
    ).stdout.split()[-1]
    counts: dict[str, Counter[str]] = {}
    faults: list[str] = []
    with TemporaryDirectory() as scratch:
        place, said = Path(scratch) / "1" / "guard", Path(scratch) / "said"
        problem = load_problem()
        release = released(problem)
        told = served_as(problem, release, unlimited(problem.cfg.serving), {})
        with guarded(place, told, release, said) as (port, keys):
            address = f"http://127.0.0.1:{port}"
            schema = Path(scratch) / "openapi.json"
            schema.write_bytes(_got(f"{address}/openapi.json", keys["auditor"]))
            for role in ORDER:
                report = Path(scratch) / f"{role}.har"
                command = [chosen.schemathesis, "run", str(schema), "--url", address]
                command += ["--checks", "not_a_server_error", "--continue-on-failure"]
                command += ["--max-examples", str(chosen.examples), "--seed", str(chosen.seed)]
                command += ["--report", "har", "--report-har-path", str(report), "--no-shrink"]
                command += ["--suppress-health-check", "all", "--warnings", "off"]
                if role != NOBODY:
                    command += ["-H", f"Authorization: Bearer {keys[role]}"]
                subprocess.run(command, capture_output=True, cwd=scratch, check=False)
                counts[role] = Counter()
                for method, path, status, text in _replies(report):
                    counts[role][str(status)] += 1
                    why = _wrong(role, method, path, status, text)
                    faults += [f"{role}: {method} {path}: {status}: {why}"] if why else []
        lines = [line for line in said.read_text().splitlines() if line.startswith("guard:")]
        faults += [f"the server said: {line}" for line in lines]
    entry = {
        "schemathesis": version,
        "seed": chosen.seed,
        "requests": sum(map(sum, (each.values() for each in counts.values()))),
        "statuses": {role: dict(sorted(each.items())) for role, each in counts.items()},
        "faults": sorted(set(faults)),
    }
    write_json(HERE / "fuzz.json", entry)
    print(json.dumps(entry, indent=1))
    return len(faults)


def _got(address: str, key: str) -> bytes:
    with urlopen(Request(address, headers={"authorization": f"Bearer {key}"})) as answer:
        return bytes(answer.read())


def _replies(report: Path) -> Iterator[tuple[str, str, int, str]]:
    """Method, path, status and body of each reply of a run; 0 where there was none."""
    entries: list[dict[str, Any]] = json.loads(report.read_text(encoding="utf-8"))["log"]["entries"]
    for one in entries:
        asked, said = one["request"], one["response"]
        text = said.get("content", {}).get("text") or ""
        yield asked["method"], urlsplit(asked["url"]).path, int(said["status"]), text


def _wrong(role: str, method: str, path: str, status: int, text: str) -> str:
    """Why a reply should not be; empty = it may."""
    if status <= 0:
        return "no reply"
    if status >= 500 and not (status == 503 and "stopped" in text):
        return "a crash"
    if TRACE.search(text) and path not in OPEN:
        return "a trace, or a path of this machine"
    if status < 300 and path not in OPEN:
        endpoint = f"{method} {path}"
        if method == "DELETE":
            endpoint = "DELETE /v1/keys/{key}"
        if endpoint not in ACCESS or not allowed(role, endpoint):
            return "an answer that policy forbids"
    return ""


if __name__ == "__main__":
    sys.exit(1 if main(sys.argv[1:]) else 0)
