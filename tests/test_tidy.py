"""House rules that a reader should never have to check: each is a test with its reason.

A rule's exceptions are listed beside it, each with why it is one.
"""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

from desim.host.sockets import QemuSockets
from desim.machine.access import CardAccess
from desim.machine.ports import Bus

ROOT = Path(__file__).resolve().parents[1]
SOURCES = sorted((ROOT / "desim").rglob("*.py"))
TESTS = sorted(path for path in (ROOT / "tests").rglob("*.py") if path != Path(__file__).resolve())
MODEL = ("wire", "engine", "costs", "net", "slirp", "e1000", "guest", "host", "userland", "machine")
"""Rooms that know virtual time or carry bytes."""

MAX_LINES = 700

BANNED_IMPORTS = {
    "random": "use a named stream (Random port): a module has its own generator",
    "secrets": "not repeatable",
    "uuid": "not repeatable",
    "time": "there is no wall clock; use the Clock port",
    "datetime": "there is no wall clock; use the Clock port",
    "subprocess": "a scenario starts no process",
    "socket": "a scenario opens no socket; use the HostSockets port",
    "threading": "a thread of control is a desim.engine thread",
    "asyncio": "a thread of control is a desim.engine thread",
    "pickle": "loading one runs code",
}

ALLOWED_IMPORTS = {
    ("desim/experiment/warm.py", "pickle"): "between a process and its own forks",
    (
        "desim/sweeps/execute.py",
        "time",
    ): "how long a run takes says how many go together",
    ("desim/sweeps/work.py", "time"): "to tell that; no row knows of it",
    ("desim/experiment/again.py", "subprocess"): "a Python with other hashes, for the same run",
    ("desim/experiment/again.py", "pickle"): "to a process that it has just started",
    **{
        (f"desim/against/{file}", module): "no scenario comes here: it runs the real program"
        for file, module in (
            ("libslirp/library.py", "socket"),
            ("libslirp/original.py", "subprocess"),
            ("libslirp/recorder.py", "socket"),
            ("libslirp/recorder.py", "time"),
            ("libslirp/worker.py", "socket"),
            ("qemu/machine.py", "subprocess"),
            ("qemu/machine.py", "threading"),
        )
    },
    ("desim/against/search.py", "time"): "how long a search goes on; no input depends on it",
    ("desim/fuzz/campaign.py", "time"): "how long a search goes on; no example depends on it",
    ("desim/experiment/many.py", "threading"): "to count the threads beside which nobody may fork",
}

BANNED_CALLS = {
    "hash": "differs between runs; order by a key",
    "id": "differs between runs; order by a key",
    "eval": "runs code",
    "exec": "runs code",
    "__import__": "use import",
}

ALLOWED_CALLS = {
    ("desim/data.py", "exec"): "a constructor, written from the fields of its class",
    ("desim/data.py", "hash"): "of what an object is found by in a dict; no order comes of it",
    ("desim/engine/wrappers.py", "exec"): "of text that is written there, from numbers and names",
    ("desim/machine/state.py", "id"): "of objects that are held, and their order is another",
    ("desim/machine/rounds.py", "id"): "of the same",
}

BANNED_ATTRIBUTES = {
    ("os", "environ"): "a run reads no environment",
    ("os", "getenv"): "a run reads no environment",
    ("os", "urandom"): "use a named stream (Random port)",
    ("os", "system"): "a scenario starts no process",
}


ALLOWED_ATTRIBUTES = {
    ("desim/experiment/again.py", "environ"): "a process gets it as it is, but for its hash seed",
    ("desim/cli/_running.py", "environ"): "NO_COLOR and FORCE_COLOR, which change no word",
}


@cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def trees(*rooms: str) -> Iterator[tuple[str, ast.Module]]:
    for path in SOURCES:
        inside = path.relative_to(ROOT / "desim")
        if not rooms or inside.parts[0] in rooms:
            yield f"desim/{inside}", parsed(path)


def imported(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom) and node.level == 0:
        return [node.module or ""]
    return []


def report(found: list[str]) -> None:
    assert not found, "\n" + "\n".join(found)


def test_no_module_that_differs_between_runs_is_imported() -> None:
    report(
        [
            f"{name}:{node.lineno}: import {module}: {BANNED_IMPORTS[module.partition('.')[0]]}"
            for name, tree in trees()
            for node in ast.walk(tree)
            if isinstance(node, (ast.Import, ast.ImportFrom))
            for module in imported(node)
            if module.partition(".")[0] in BANNED_IMPORTS and (name, module) not in ALLOWED_IMPORTS
        ]
    )


def test_no_call_that_differs_between_runs_is_made() -> None:
    found = []
    for name, tree in trees():
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                if node.func.id in BANNED_CALLS and (name, node.func.id) not in ALLOWED_CALLS:
                    why = BANNED_CALLS[node.func.id]
                    found.append(f"{name}:{node.lineno}: {node.func.id}(): {why}")
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                why = BANNED_ATTRIBUTES.get((node.value.id, node.attr), "")
                if why and (name, node.attr) not in ALLOWED_ATTRIBUTES:
                    found.append(f"{name}:{node.lineno}: {node.value.id}.{node.attr}: {why}")
    report(found)


def is_set(node: ast.expr) -> bool:
    """Whether an expression is a set on the face of it."""
    if isinstance(node, (ast.Set, ast.SetComp)):
        return True
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
        return node.func.id in ("set", "frozenset")
    if isinstance(node, ast.BinOp) and isinstance(node.op, (ast.BitOr, ast.BitAnd, ast.Sub)):
        return is_set(node.left) or is_set(node.right)
    return False


def test_no_bare_set_is_iterated() -> None:
    found = []
    for name, tree in trees():
        for node in ast.walk(tree):
            sources: list[ast.expr] = []
            if isinstance(node, (ast.For, ast.comprehension)):
                sources = [node.iter]
            elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                if node.func.id in ("list", "tuple", "enumerate", "iter", "next"):
                    sources = node.args[:1]
            found += [
                f"{name}:{source.lineno}: a set has no order; use sorted() or a dict"
                for source in sources
                if is_set(source)
            ]
    report(found)


def test_models_compute_in_whole_numbers() -> None:
    """A float in a model ends up in a time, and differs between machines."""
    found = []
    for name, tree in trees(*MODEL):
        # How alike two words are is no time.
        likeness = [
            keyword.value
            for node in ast.walk(tree)
            if isinstance(node, ast.Call)
            for keyword in node.keywords
            if keyword.arg == "cutoff"
        ]
        for node in ast.walk(tree):
            if node in likeness:
                continue
            if isinstance(node, ast.Constant) and isinstance(node.value, float):
                found.append(f"{name}:{node.lineno}: {node.value}: a float literal")
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                if node.func.id in ("float", "round"):
                    found.append(f"{name}:{node.lineno}: {node.func.id}() makes or hides a float")
    report(found)


# Knowledge stands in tables beside what it is about. It does not hide in attributes of
# functions, which a compiler refuses, nor in registries that depend on who imported what.

FUNCTION = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
CONTAINERS = ("dict", "list", "set", "defaultdict", "deque", "Counter", "OrderedDict")
CHANGING = {
    *("add", "append", "appendleft", "clear", "discard", "extend", "insert", "pop", "popitem"),
    *("remove", "setdefault", "update"),
}


class Scope(NamedTuple):
    """The module or a function, its nodes without those of functions inside it, its names."""

    node: ast.AST
    inside: list[ast.AST]
    bound: set[str]
    """What is assigned to in it, its parameters included."""


@cache
def scopes(tree: ast.Module) -> list[Scope]:
    found = []
    waiting: list[ast.AST] = [tree]
    while waiting:
        scope = waiting.pop()
        inside: list[ast.AST] = []
        todo = list(ast.iter_child_nodes(scope))
        while todo:
            node = todo.pop()
            inside.append(node)
            if isinstance(node, FUNCTION):
                waiting.append(node)
            else:
                todo += ast.iter_child_nodes(node)
        bound = {
            node.id
            for node in inside
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
        } | {node.arg for node in inside if isinstance(node, ast.arg)}
        found.append(Scope(scope, inside, bound))
    return found


def targets(node: ast.AST) -> list[ast.expr]:
    """What an assignment or a ``del`` changes."""
    if isinstance(node, (ast.Assign, ast.Delete)):
        return node.targets
    return [node.target] if isinstance(node, (ast.AnnAssign, ast.AugAssign)) else []


def test_no_attribute_is_set_on_a_function() -> None:
    found = []
    for name, tree in trees():
        everywhere = {node.name for node in tree.body if isinstance(node, FUNCTION[:2])}
        for scope in scopes(tree):
            here = {node.name for node in scope.inside if isinstance(node, FUNCTION[:2])}
            functions = (everywhere | here) - scope.bound
            found += [
                f"{name}:{target.lineno}: {ast.unparse(target)}"
                for node in scope.inside
                for target in targets(node)
                if isinstance(target, ast.Attribute)
                and isinstance(target.value, ast.Name)
                and target.value.id in functions
            ]
            found += [
                f"{name}:{node.lineno}: a mark is an entry of STAGES"
                for node in scope.inside
                if (isinstance(node, ast.Attribute) and node.attr == "__stage__")
                or (isinstance(node, ast.Constant) and node.value == "__stage__")
            ]
    report(found)


def is_container(node: ast.expr | None) -> bool:
    """Whether an expression is something that can be filled, on the face of it."""
    if isinstance(node, (ast.Dict, ast.List, ast.Set, ast.DictComp, ast.ListComp, ast.SetComp)):
        return True
    return (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id in CONTAINERS
    )


def changed(node: ast.AST) -> Iterator[tuple[int, str]]:
    """The names whose contents ``node`` changes."""
    for target in targets(node):
        if isinstance(target, ast.Subscript) and isinstance(target.value, ast.Name):
            yield target.lineno, target.value.id
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        if isinstance(node.func.value, ast.Name) and node.func.attr in CHANGING:
            yield node.lineno, node.func.value.id


def test_what_stands_in_a_module_is_not_filled_later() -> None:
    """Neither by the module itself, nor by another one that is imported, nor by a call."""
    found = []
    for name, tree in trees():
        of_module = {
            target.id
            for node in tree.body
            for target in targets(node)
            if isinstance(target, ast.Name) and is_container(getattr(node, "value", None))
        } | {
            alias.asname or alias.name
            for node in tree.body
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("desim")
            for alias in node.names
            if alias.name.isupper() or alias.name.startswith("_")
        }
        for scope in scopes(tree):
            names = of_module - (set() if scope.node is tree else scope.bound)
            for node in scope.inside:
                if isinstance(node, ast.Global):
                    found.append(f"{name}:{node.lineno}: global {', '.join(node.names)}")
                found += [
                    f"{name}:{line}: {what} stands in a module, and is changed here"
                    for line, what in changed(node)
                    if what in names
                ]
    report(found)


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_module_says_what_it_is_and_is_not_too_long(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert text.count("\n") <= MAX_LINES, "a file is a room: give what it holds two"
    if text.strip():
        assert ast.get_docstring(ast.parse(text)), "no module docstring"


def test_a_docstring_says_something_itself() -> None:
    """ "See X" says nothing: a method without a docstring inherits that of the contract."""
    found = []
    for name, tree in trees():
        for node in ast.walk(tree):
            if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
                text = ast.get_docstring(node) or ""
                if re.match(r"See [`:]", text):
                    found.append(f"{name}:{node.lineno}: {text.splitlines()[0]}")
    report(found)


def test_things_are_it() -> None:
    """A host, a router, a program, a neighbour: none of them is "he"."""
    person = re.compile(r"\b(he|his|him|himself)\b", flags=re.IGNORECASE)
    pages = [
        *(ROOT / "docs").glob("*.md"),
        *ROOT.glob("*.md"),
        *(ROOT / "scenarios").glob("*.toml"),
    ]
    report(
        [
            f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
            for path in (*SOURCES, *sorted(pages))
            for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
            if person.search(line)
        ]
    )


def test_a_method_of_a_contract_inherits_what_the_contract_says() -> None:
    for cls, method in ((QemuSockets, "listen"), (Bus, "dma"), (CardAccess, "read")):
        assert inspect.getdoc(getattr(cls, method)), f"{cls.__name__}.{method}"


def test_what_silences_a_tool_says_why() -> None:
    """On its line or in a comment above. Of tests no types are checked: nothing to silence."""
    found = []
    for path in (*SOURCES, *TESTS):
        lines = path.read_text(encoding="utf-8").splitlines()
        for before, (number, line) in zip(["", *lines], enumerate(lines, 1), strict=False):
            said = before.strip().startswith("#") and path in SOURCES
            if re.search(r"#.*(noqa: [A-Z]+\d+|type: ignore\[[a-z-]+\])$", line) and not said:
                found.append(f"{path.relative_to(ROOT)}:{number}: {line.strip()}")
    report(found)


def test_nothing_is_left_for_later() -> None:
    pattern = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b|type: ignore(?!\[)|noqa(?!: [A-Z])")
    report(
        [
            f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
            for path in (*SOURCES, *TESTS)
            for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
            if pattern.search(line) and path != Path(__file__)  # which spells them out
        ]
    )
