"""Texts and numbers as YAML reads them back, whatever signs they hold."""

import re
from decimal import Decimal

PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_./-]*")

WORDS_OF_YAML = frozenset(
    ("y", "n", "yes", "no", "on", "off", "true", "false", "null", "nan", "inf")
)


def code(cell: str) -> str:
    """A cell of the file; a whole number stays one."""
    whole = re.fullmatch(r"-?(0|[1-9][0-9]{0,14})", cell) and cell != "-0"
    return cell if whole else key(cell)


def number(value: float) -> str:
    """A number without an exponent, which YAML reads as a text."""
    if value == int(value):
        return str(int(value))
    return format(Decimal(repr(value)), "f")


def scalar(text: str) -> str:
    """A text as a value of YAML that means itself, and no reference to another key."""
    return key(literal(text))


def literal(text: str) -> str:
    """A text in which Hydra resolves nothing; backslashes count only before what it would."""
    return re.sub(r"(\\*)\$\{", lambda found: f"{2 * found[1]}\\${{", text)


def key(text: str) -> str:
    """A text of YAML, in quotes where it could be taken for something else; no key is resolved."""
    plain = PLAIN.fullmatch(text) and text.lower() not in WORDS_OF_YAML
    return text if plain else _quoted(text)


def _quoted(text: str) -> str:
    signs = {'"': '\\"', "\\": "\\\\"}
    return (
        '"'
        + "".join(signs.get(s, s if s.isprintable() else f"\\U{ord(s):08x}") for s in text)
        + '"'
    )
