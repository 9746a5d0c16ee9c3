"""What the values of a record have to do with each other: `diastolic + 5 <= systolic`.

Columns by their names, in brackets where these are no plain words (`[heart rate]`), in which a `]`
of the name is doubled (`[pH [arterial]]]`); numbers; + - * / and ** (or ^) with a number as its
exponent; and around all of it `round(..., decimals)`, which says how the result is written down.
"""

import ast
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from keyword import iskeyword
from typing import Any, TypeVar

T = TypeVar("T")

BRACKETS = re.compile(r"\[((?:[^\]]|\]\])+)\](?!\])")
GRAMMAR = (
    "columns (in brackets where no plain words, a ] of the name doubled), numbers, + - * / ** and "
    "an outer round"
)


def named(column: str) -> str:
    """A column as a formula names it."""
    if column.isidentifier() and not iskeyword(column):
        return column
    return f"[{column.replace(']', ']]')}]"


@dataclass(frozen=True)
class Formula:
    """A value that follows from others.

    Attributes:
        text: as written.
        decimals: to which the result is rounded, to the even one halfway; None = it is not.
    """

    text: str
    decimals: int | None = None

    @classmethod
    def of(cls, text: str) -> "Formula":
        """Reads a formula.

        Raises:
            ValueError: it is none, or says something else than a formula may.
        """
        read = _read(text)
        _arithmetic(read.body, dict.fromkeys(read.names, math.nan), read.columns, text)
        return cls(text, read.decimals)

    @property
    def names(self) -> tuple[str, ...]:
        """The columns that it mentions, each once, in order."""
        return _read(self.text).names

    def at(self, values: Mapping[str, T]) -> T:
        """The value of it before rounding, whatever the arithmetic of `values` is."""
        read = _read(self.text)
        value: T = _value(read.body, values, read.columns)
        return value


@dataclass(frozen=True)
class Relation:
    """sum of weights times values <= bound.

    Attributes:
        text: as written.
        weights: of each column that it mentions.
        bound: what the sum may be at most.
    """

    text: str
    weights: Mapping[str, float]
    bound: float

    @classmethod
    def of(cls, text: str) -> "Relation":
        """Reads a relation.

        Raises:
            ValueError: it is none, or not linear.
        """
        plain, columns = _plain(text)
        node = _parsed(plain, text)
        if not isinstance(node, ast.Compare) or len(node.ops) > 1:
            raise ValueError(f"{text!r} must be one comparison, such as a + 5 <= b")
        if not isinstance(node.ops[0], ast.LtE | ast.GtE):
            raise ValueError(f"{text!r} must compare by <= or >=; what follows goes to `derived`")
        columns = _checked(node.left, text, columns) | _checked(node.comparators[0], text, columns)
        values = {name: _Linear({name: 1.0}) for name in columns.values()}
        sides = (node.left, node.comparators[0])
        left, right = (_arithmetic(side, values, columns, text) for side in sides)
        if isinstance(node.ops[0], ast.GtE):
            left, right = right, left
        difference = _Linear() + left - right
        weights = {name: weight for name, weight in difference.weights.items() if weight}
        if not weights:
            raise ValueError(f"{text!r} must mention a column on one side only")
        if not all(map(math.isfinite, (*weights.values(), difference.constant))):
            raise ValueError(f"{text!r}: its numbers are too large")
        return cls(text, weights, 0.0 - difference.constant)


@dataclass(frozen=True)
class _Read:
    """A parsed formula: its tree, which column each identifier in it is, and its decimals."""

    body: ast.expr
    columns: Mapping[str, str]
    names: tuple[str, ...]
    decimals: int | None


@lru_cache(maxsize=1024)
def _read(text: str) -> _Read:
    plain, columns = _plain(text)
    node, decimals = _parsed(plain, text), None
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "round":
        if len(node.args) not in (1, 2) or node.keywords:
            raise ValueError(f"{text!r}: round takes a formula and a number of decimals")
        last = node.args[1] if len(node.args) == 2 else ast.Constant(0)
        if not isinstance(last, ast.Constant) or type(last.value) is not int or last.value < 0:
            raise ValueError(f"{text!r}: round takes a whole number of decimals, 0 or more")
        node, decimals = node.args[0], last.value
    columns = _checked(node, text, columns)
    if not columns:
        raise ValueError(f"{text!r} must mention a column")
    return _Read(node, columns, tuple(dict.fromkeys(columns.values())), decimals)


def _plain(text: str) -> tuple[str, dict[str, str]]:
    """The text as Python reads it, and the column that each stand-in for brackets is."""
    columns: dict[str, str] = {}

    def stand_in(match: re.Match[str]) -> str:
        name = f"__{len(columns)}__"
        columns[name] = match[1].replace("]]", "]").strip()
        return f" {name} "  # `a[b]` is no name of two parts

    return BRACKETS.sub(stand_in, text).replace("^", "**"), columns


def _parsed(plain: str, text: str) -> ast.expr:
    try:
        return ast.parse(plain.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise ValueError(f"{text!r} cannot be read: {GRAMMAR}") from None


def _checked(node: ast.expr, text: str, columns: Mapping[str, str]) -> dict[str, str]:
    """The column of each identifier of a tree that holds nothing but what a formula may."""
    if isinstance(node, ast.Name):
        return {node.id: columns.get(node.id, node.id)}
    if isinstance(node, ast.Constant) and type(node.value) in (int, float):
        return {}
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub | ast.UAdd):
        return _checked(node.operand, text, columns)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Pow):
        if _number(node.right) is None:
            raise ValueError(f"{text!r}: the exponent of ** must be a number")
        return _checked(node.left, text, columns)
    if isinstance(node, ast.BinOp) and type(node.op) in OPERATORS:
        return _checked(node.left, text, columns) | _checked(node.right, text, columns)
    raise ValueError(f"{text!r}: only {GRAMMAR}")


def _number(node: ast.expr) -> float | None:
    """The number that a node is, with its sign."""
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub | ast.UAdd):
        inner = _number(node.operand)
        return inner if inner is None or isinstance(node.op, ast.UAdd) else -inner
    return float(node.value) if isinstance(node, ast.Constant) else None  # type: ignore[arg-type]


OPERATORS: Mapping[type[ast.operator], Any] = {
    ast.Add: lambda a, b: a + b,
    ast.Sub: lambda a, b: a - b,
    ast.Mult: lambda a, b: a * b,
    ast.Div: lambda a, b: a / b,
}


def _arithmetic(
    node: ast.expr, values: Mapping[str, Any], columns: Mapping[str, str], text: str
) -> Any:
    """The value of a side, where its numbers alone make sense."""
    try:
        return _value(node, values, columns)
    except ArithmeticError as error:
        raise ValueError(f"{text!r}: {error}") from None
    except ValueError as error:
        raise ValueError(f"{text!r} {error}") from None


def _value(node: ast.expr, values: Mapping[str, Any], columns: Mapping[str, str]) -> Any:
    if isinstance(node, ast.Name):
        return values[columns[node.id]]
    number = _number(node)
    if number is not None:
        return number
    if isinstance(node, ast.UnaryOp):
        inner = _value(node.operand, values, columns)
        return -inner if isinstance(node.op, ast.USub) else inner
    assert isinstance(node, ast.BinOp)
    left = _value(node.left, values, columns)
    if isinstance(node.op, ast.Pow):
        return left ** _number(node.right)
    return OPERATORS[type(node.op)](left, _value(node.right, values, columns))


@dataclass(frozen=True)
class _Linear:
    """sum of weights times columns + constant, with the arithmetic that keeps it so."""

    weights: Mapping[str, float] = field(default_factory=dict)
    constant: float = 0.0

    def __add__(self, other: "_Linear | float") -> "_Linear":
        other = other if isinstance(other, _Linear) else _Linear({}, other)
        names = {**self.weights, **other.weights}
        weights = {n: self.weights.get(n, 0.0) + other.weights.get(n, 0.0) for n in names}
        return _Linear(weights, self.constant + other.constant)

    def __mul__(self, other: "_Linear | float") -> "_Linear":
        if isinstance(other, _Linear):
            raise ValueError("must be linear: no column times another")
        weights = {name: weight * other for name, weight in self.weights.items()}
        return _Linear(weights, self.constant * other)

    def __truediv__(self, other: "_Linear | float") -> "_Linear":
        if isinstance(other, _Linear) or other == 0:
            raise ValueError("must be linear: columns are divided by numbers alone")
        return self * (1 / other)

    def __rtruediv__(self, other: float) -> "_Linear":
        raise ValueError("must be linear: no number divided by a column")

    def __pow__(self, exponent: float) -> "_Linear":
        raise ValueError("must be linear: no power of a column")

    def __neg__(self) -> "_Linear":
        return self * -1.0

    def __sub__(self, other: "_Linear | float") -> "_Linear":
        return self + (-other)

    def __rsub__(self, other: float) -> "_Linear":
        return -self + other

    __radd__, __rmul__ = __add__, __mul__
