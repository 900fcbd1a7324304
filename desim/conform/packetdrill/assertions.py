"""What a script's pieces of Python assert of TCP_INFO.

packetdrill hands such a piece to a Python interpreter, with the fields of TCP_INFO as
variables. A script is read from anywhere, so nothing of it is executed here: ``assert`` and
``print`` are read with Python's own grammar and worked out over numbers alone.
"""

from __future__ import annotations

import ast
import operator
import textwrap
from collections.abc import Callable, Mapping
from typing import Any

from desim.conform.packetdrill.errors import Failed, NotModelled, ScriptError
from desim.errors import nearest

_BINARY: dict[type[ast.operator], Callable[[int, int], int]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.BitAnd: operator.and_,
    ast.BitOr: operator.or_,
}
_COMPARE: dict[type[ast.cmpop], Callable[[int, int], bool]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}
LARGEST = 1 << 128


def check(line: int, code: str, fields: Mapping[str, int]) -> None:
    """Work out every assertion; raises ``Failed`` at the first that does not hold.

    ``ScriptError`` for what is not Python, ``NotModelled`` for a field that the model does
    not keep, and for Python beyond assertions.
    """
    first = line + len(code) - len(code.lstrip("\n")) if code.strip() else line
    try:
        tree = ast.parse(_outdented(code))
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        reason = getattr(error, "msg", None) or "it is too deep or too long"
        raise ScriptError(line, f"the code is not Python: {reason}") from None
    for statement in tree.body:
        at = first + statement.lineno - 1
        if isinstance(statement, ast.Assert):
            try:
                holds = _value(at, statement.test, fields)
            except RecursionError:
                raise ScriptError(at, "the assertion is too deep") from None
            if not holds:
                raise Failed(at, ast.unparse(statement.test), _seen(at, statement, fields))
        elif not _prints(statement):
            raise NotModelled(at, f"code other than assert ({type(statement).__name__.lower()})")


def _outdented(code: str) -> str:
    """The first line begins behind ``%{``, the others where they like."""
    lines = code.strip("\n").split("\n")
    head = lines[0].strip()
    rest = textwrap.dedent("\n".join(lines[1:]))
    return f"{head}\n{rest}"


def _prints(statement: ast.stmt) -> bool:
    """``print(...)``: it is for people who watch."""
    return (
        isinstance(statement, ast.Expr)
        and isinstance(statement.value, ast.Call)
        and isinstance(statement.value.func, ast.Name)
        and statement.value.func.id == "print"
    ) or isinstance(statement, ast.Pass)


def _seen(line: int, statement: ast.Assert, fields: Mapping[str, int]) -> str:
    """The values of the fields that the assertion names."""
    used = dict.fromkeys(
        node.id
        for node in ast.walk(statement.test)
        if isinstance(node, ast.Name) and node.id.startswith("tcpi_")
    )
    return ", ".join(f"{name} is {fields[name]}" for name in used) or "it does not hold"


def _value(line: int, node: ast.expr, fields: Mapping[str, int]) -> int:
    if isinstance(node, ast.Constant) and isinstance(node.value, int):
        return node.value
    if isinstance(node, ast.Name):
        if node.id in fields:
            return fields[node.id]
        raise NotModelled(line, f"the field {node.id}{nearest(node.id, fields)}")
    if isinstance(node, ast.UnaryOp):
        operand = _value(line, node.operand, fields)
        if isinstance(node.op, ast.Not):
            return not operand
        if isinstance(node.op, ast.USub):
            return -operand
    if isinstance(node, ast.BinOp) and type(node.op) in _BINARY:
        left, right = _value(line, node.left, fields), _value(line, node.right, fields)
        try:
            result = _BINARY[type(node.op)](left, right)
        except ZeroDivisionError:
            raise ScriptError(line, "a division by zero in the code") from None
        if abs(result) > LARGEST:
            raise ScriptError(line, "a number in the code is too large")
        return result
    if isinstance(node, ast.BoolOp):
        values: Any = (_value(line, value, fields) for value in node.values)
        return all(values) if isinstance(node.op, ast.And) else any(values)
    if isinstance(node, ast.Compare):
        return _comparison(line, node, fields)
    raise NotModelled(line, f"code with {type(node).__name__.lower()}")


def _comparison(line: int, node: ast.Compare, fields: Mapping[str, int]) -> bool:
    left = _value(line, node.left, fields)
    for sign, right_node in zip(node.ops, node.comparators, strict=True):
        if type(sign) not in _COMPARE:
            raise NotModelled(line, f"code with {type(sign).__name__.lower()}")
        right = _value(line, right_node, fields)
        if not _COMPARE[type(sign)](left, right):
            return False
        left = right
    return True
