"""Names of metrics and parameters that every store of MLflow takes."""

import hashlib
import re

PLAIN = re.compile(r"[A-Za-z0-9_.\-]+( [A-Za-z0-9_.\-]+)*(/[A-Za-z0-9_.\-]+( [A-Za-z0-9_.\-]+)*)*")
TAKEN = re.compile(r"[^A-Za-z0-9_.\-/ ]+")  # what a key is cleaned of
SALTED = re.compile(r"--[0-9a-f]{8}$")  # how a cleaned key ends, which no name of its own may
LONGEST = 200  # of a key; MLflow takes 250 letters


def safe_key(name: str) -> str:
    """A name of a metric or a parameter that every store of MLflow takes, the same for ever.

    A plain name stays as it is. Another one, of a column that somebody named freely, is cleaned and
    carries a digest of what it was, so that no two names become one.
    """
    parts = name.split("/")
    odd = any(part.startswith(".") or SALTED.search(part) for part in parts)
    if PLAIN.fullmatch(name) and len(name) <= LONGEST and not odd:
        return name
    digest = hashlib.sha256(name.encode()).hexdigest()[:8]
    clean = "/".join(TAKEN.sub("_", part).strip(" .") or "_" for part in parts)
    return f"{clean[: LONGEST - 10].rstrip(' ./')}--{digest}"
