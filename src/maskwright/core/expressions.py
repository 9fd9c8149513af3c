"""Small formulas of named bands, e.g. (nir - red) / (nir + red), read by our own reader and never evaluated as code.

Python's parser turns the text into a tree; every node of it is looked up in the tables at the bottom, and
whatever is not in them is refused. Nothing of Python's own names can be reached.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from maskwright.core.errors import near

LONGEST, MOST_NODES = 300, 100
"""Characters and nodes of a formula."""
Plane = NDArray[np.float32]


@dataclass(frozen=True)
class Formula:
    """A formula that was read and found to be sound."""

    text: str
    names: tuple[str, ...]
    """Bands it uses, in the order in which they are first named."""

    def __call__(self, bands: Mapping[str, Plane]) -> Plane:
        """Work it out pixel by pixel; what is not finite (such as 0 / 0) is 0.

        Args:
            bands: name -> float32 (H, W); all that it uses, of one shape.

        Returns:
            float32 (H, W).
        """
        shape = next(iter(bands.values())).shape
        with np.errstate(all="ignore"):
            found = np.asarray(_value(_tree(self.text), bands), np.float32)
        return np.nan_to_num(np.broadcast_to(found, shape), nan=0.0, posinf=0.0, neginf=0.0)


def read_formula(text: str, known: Sequence[str]) -> Formula:
    """Read a formula and refuse what is not arithmetic of known bands.

    Args:
        text: e.g. (nir - red) / (nir + red).
        known: names of bands that it may use.

    Raises:
        ValueError: with what is wrong and what to do.
    """
    if len(text) > LONGEST:
        raise ValueError(f"a formula of {len(text)} characters; keep it below {LONGEST}")
    try:
        tree = _tree(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise ValueError(f"'{text}' is no formula; write arithmetic of bands, e.g. (nir - red) / (nir + red)") from None
    nodes = list(ast.walk(tree))
    if len(nodes) > MOST_NODES:
        raise ValueError(f"'{text}' has more than {MOST_NODES} parts; make it shorter")
    called = {id(node.func) for node in nodes if isinstance(node, ast.Call)}
    names: dict[str, None] = {}
    for node in nodes:
        if isinstance(node, ast.Name) and id(node) not in called:
            if node.id not in known:
                listed = ", ".join(known)
                raise ValueError(
                    f"'{text}' names '{node.id}', which is no band{near(node.id, known)}; there are {listed}"
                )
            names[node.id] = None
        _check(node, text)
    if not names:
        raise ValueError(f"'{text}' uses no band; name at least one")
    return Formula(text, tuple(names))


def _check(node: ast.AST, text: str) -> None:
    """Refuse a node that is no arithmetic."""
    sound = isinstance(node, ast.Name | ast.Load | ast.Expression | ast.operator | ast.unaryop)
    if isinstance(node, ast.BinOp):
        sound = type(node.op) in BINARY
    elif isinstance(node, ast.UnaryOp):
        sound = type(node.op) in UNARY
    elif isinstance(node, ast.Constant):
        sound = isinstance(node.value, int | float) and not isinstance(node.value, bool) and abs(node.value) <= 1e9
    elif isinstance(node, ast.Call):
        name = node.func.id if isinstance(node.func, ast.Name) else ""
        sound = name in FUNCTIONS and not node.keywords and len(node.args) == FUNCTIONS[name][0]
    if not sound:
        listed = ", ".join(FUNCTIONS)
        raise ValueError(f"'{text}' holds more than arithmetic; use + - * / ** ( ), numbers, bands and {listed}")


@lru_cache(maxsize=256)
def _tree(text: str) -> ast.Expression:
    return ast.parse(text.strip(), mode="eval")


def _value(node: ast.AST, bands: Mapping[str, Plane]) -> Any:
    if isinstance(node, ast.Expression):
        return _value(node.body, bands)
    if isinstance(node, ast.Name):
        return bands[node.id]
    if isinstance(node, ast.Constant):
        assert isinstance(node.value, int | float), node.value
        return np.float32(node.value)
    if isinstance(node, ast.BinOp):
        return BINARY[type(node.op)](_value(node.left, bands), _value(node.right, bands))
    if isinstance(node, ast.UnaryOp):
        return UNARY[type(node.op)](_value(node.operand, bands))
    assert isinstance(node, ast.Call), node
    assert isinstance(node.func, ast.Name), node
    return FUNCTIONS[node.func.id][1](*(_value(part, bands) for part in node.args))


BINARY: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: np.add,
    ast.Sub: np.subtract,
    ast.Mult: np.multiply,
    ast.Div: np.divide,
    ast.Pow: np.power,
}
"""Operators between two values."""
UNARY: dict[type[ast.unaryop], Callable[[Any], Any]] = {ast.USub: np.negative, ast.UAdd: np.positive}
"""Signs."""
FUNCTIONS: dict[str, tuple[int, Callable[..., Any]]] = {
    "abs": (1, np.abs),
    "sqrt": (1, np.sqrt),
    "log": (1, np.log),
    "exp": (1, np.exp),
    "min": (2, np.minimum),
    "max": (2, np.maximum),
}
"""Function -> how many values it takes, and what it does."""
