"""What happens to a request: admission, certificate, log, and only then an answer.

Order: is the record admissible, what does the model say, is it proved; then one transaction of the
log that holds the switch, the budget and a row for each record; then the answer leaves.
"""

import json
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from threading import Lock
from typing import Any

from pipeline.config.serving import Answers
from pipeline.data.schema import Schema
from pipeline.serving.admission import admitted
from pipeline.serving.certificate import Certificate, Certifier
from pipeline.serving.journal import Entry, Journal, Kind, Limits, Outcome, canonical
from pipeline.serving.keys import Client
from pipeline.serving.served import Served

MOST_KNOWN = {
    Outcome.STOPPED: 503,
    Outcome.OVER_MINUTE: 429,
    Outcome.OVER_DAY: 429,
    Outcome.OVER_EVER: 429,
}


class Unanswered(Exception):
    """A request of which nothing is answered: a status of HTTP and a line."""

    def __init__(self, status: int, why: str) -> None:
        """With the line as its text."""
        super().__init__(why)
        self.status = status


@dataclass(frozen=True)
class Reply:
    """What is told of one record.

    Attributes:
        kind: answered, referred or refused.
        said: JSON text, as it leaves.
    """

    kind: Kind
    said: str


def told(
    certificate: Certificate, served: Served, schema: Schema, fineness: Answers, number: str
) -> dict[str, Any]:
    """An answer or a referral, as fine as a role needs it; the radius never leaves."""
    if not certificate.certified:
        return {"id": number, "referred": certificate.reason}
    healthy, ill = schema.classes
    answer: dict[str, Any] = {"id": number, "decision": ill if certificate.ill else healthy}
    if fineness != "decision":
        chance = certificate.probability
        answer["probability"] = round(chance, 1) if fineness == "rounded" else chance
    if certificate.proved:
        answer["certificate"] = {"r": served.policy.r, "threat": served.threat_name}
    return answer
