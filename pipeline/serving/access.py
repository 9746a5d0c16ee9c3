"""Who may do what: an endpoint that stands nowhere here is nobody's."""

from collections.abc import Mapping

from pipeline.config.serving import ASKING, ROLES

EVERYBODY = frozenset(ROLES)
OPEN = frozenset({"/health", "/ping", "/version", "/live"})  # asked without a key; no data in them

ACCESS: Mapping[str, frozenset[str]] = {
    "GET /v1/model": EVERYBODY,
    "GET /openapi.json": EVERYBODY,
    "POST /v1/predict": frozenset(ASKING),
    "POST /invocations": frozenset(ASKING),  # MLflow's own protocol
    "POST /v1/diagnoses": frozenset({"clinician"}),
    "GET /v1/status": frozenset({"monitor", "administrator"}),
    "GET /metrics": frozenset({"monitor"}),
    "GET /v1/log": frozenset({"auditor"}),
    "GET /v1/log/faults": frozenset({"auditor"}),
    "GET /v1/keys": frozenset({"administrator"}),
    "POST /v1/keys": frozenset({"administrator"}),
    "DELETE /v1/keys/{key}": frozenset({"administrator"}),
    "POST /v1/stop": frozenset({"administrator"}),
    "POST /v1/start": frozenset({"administrator"}),
}


def allowed(role: str, endpoint: str) -> bool:
    """Whether a role may call an endpoint, as `POST /v1/predict`."""
    return role in ACCESS.get(endpoint, frozenset())
