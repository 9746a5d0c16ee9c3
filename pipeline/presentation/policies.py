"""What a page may run: its own parts alone, named in its policy (CSP) by digest."""

import base64
import hashlib


def source_of(text: str) -> str:
    """The name of a script or style sheet in the policy of the page that holds it."""
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"
