"""What happened in a time, replayed: the same model, the same records, the same answers or not."""

import json
from typing import Any

from pipeline.serving.journal import Row


def as_line(row: Row, record: bytes | None) -> str:
    """A row as a line of JSON, with its record where it was opened."""
    said: dict[str, Any] = {
        "row": row.sequence,
        "time": row.time,
        "client": row.client,
        "role": row.role,
        "kind": row.kind,
        "endpoint": row.endpoint,
        "answer": json.loads(row.answer),
        "facts": json.loads(row.facts),
    }
    if record is not None:
        said["record"] = json.loads(record)
    return json.dumps(said, ensure_ascii=False)
