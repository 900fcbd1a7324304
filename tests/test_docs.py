"""What the documents say is what there is: keys, options, files, names, links, examples."""

from __future__ import annotations

import ast
import doctest
import io
import re
import shlex
import tomllib
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import commands_page
import notebook_page
import pytest
import scenario_page
import trace_page
from documents import (
    AT_ROOT,
    PAGES,
    ROOT,
    Block,
    anchors,
    blocks,
    first_cells,
    prose,
    read,
    section,
)

from desim.cli import main
from desim.data import fields
from desim.events import EVENTS
from desim.guest.net.tcp.sysctl import DEFAULTS, LIMITS, PREFIX
from desim.scenario.qemu_object import _KINDS
from desim.scenario.qemu_user import KEYS
from desim.scenario.schema import Scenario
from desim.scenario.tables import Inner, Table, Tables

DOCS = ROOT / "docs"
SCENARIO = read(DOCS / "scenario.md")
CONTRIBUTING = ROOT / "CONTRIBUTING.md"
SESSIONS = re.findall(
    r"^@nox\.session.*\ndef (\w+)\(session", read(ROOT / "noxfile.py"), flags=re.M
)
LINK = re.compile(r"\]\(([^)\s]+)\)")
STEP = re.compile(r"^\d+\. `([\w./-]+)`( \(new\))?(?:: ((?:`[^`]+`(?:, )?)+))? — ", flags=re.M)
"""A step of a walk: its file, whether that is a new one, and names in it."""


def named(page: Path) -> str:
    return str(page.relative_to(ROOT))


# The reference of scenario files


def keys_of(table: type[Table]) -> list[str]:
    """Every key of a scenario file, dotted; of tables by name the table alone."""
    keys = []
    for name, entry in table.KEYS.items():
        if isinstance(entry.kind, (Inner, Tables)):
            keys += [f"{name}.{key}" for key in keys_of(entry.kind.made)]
        else:
            keys.append(name)
    return keys


def test_every_key_of_a_scenario_is_described_and_no_other() -> None:
    described = [
        key
        for cell in first_cells(SCENARIO.partition("## QEMU's options")[0])
        for key in re.findall(r"`([^`]+)`", cell)
        if not key.startswith(PREFIX)
    ]
    assert sorted(described) == sorted(keys_of(Scenario))


def test_the_page_of_scenarios_and_the_schema_are_what_the_keys_say() -> None:
    page = read(scenario_page.PAGE)
    assert page == scenario_page.page(page), "stale: nox -s pages makes it anew"
    assert read(scenario_page.SCHEMA) == scenario_page.schema(), "stale: nox -s pages"


def test_every_setting_of_the_guests_tcp_is_described_with_its_limits() -> None:
    rows = section(SCENARIO, "### Settings of the guest's TCP").split("|---|---|---|\n")[1]
    wanted = []
    for name, (low, high) in LIMITS.items():
        usual = getattr(DEFAULTS, name)
        shown = " ".join(map(str, usual)) if isinstance(usual, tuple) else usual
        wanted.append(f"| `{PREFIX}{name}` | {low} to {high} | {shown} |")
    assert rows.strip().splitlines() == wanted


def test_every_key_of_netdev_user_is_described_and_no_other() -> None:
    table = section(SCENARIO, "### Keys of -netdev user")
    described = [key for cell in first_cells(table) for key in re.findall(r"`([^`]+)`", cell)]
    assert sorted(described) == sorted(KEYS - {"type"})


def test_every_filter_is_described_and_no_other() -> None:
    table = section(SCENARIO, "### Faults on the wire")
    assert sorted(cell.strip("`") for cell in first_cells(table)) == sorted(_KINDS)


def test_every_key_of_a_filter_is_named() -> None:
    text = section(SCENARIO, "### Faults on the wire")
    keys = sorted({key for known, _ in _KINDS.values() for key in known})
    assert [key for key in keys if not re.search(rf"`{key}=", text)] == []


# The reference of commands


def test_the_page_of_commands_is_what_the_parsers_say() -> None:
    page = read(commands_page.PAGE)
    assert page == commands_page.page(page), "stale: nox -s pages makes it anew"


# The trace


def test_the_page_of_the_trace_is_what_events_and_reasons_say() -> None:
    page = read(trace_page.PAGE)
    assert page == trace_page.page(page), "stale: nox -s pages makes it anew"


def test_every_field_of_an_event_is_explained() -> None:
    docs = trace_page.field_docs()
    for event in EVENTS:
        assert list(docs[event.__name__]) == list(fields(event))
        assert event.__doc__


# Files, names and links


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_links_lead_somewhere(page: Path) -> None:
    for link in LINK.findall(prose(page)):
        if "://" in link:
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), f"{link}: no such file"
        if anchor:
            assert anchor in anchors(target), f"{link}: no such heading"


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_files_that_are_named_are_there(page: Path) -> None:
    rooms = r"(?:desim|tests|docs|scenarios|results|benchmarks)/"
    for path in re.findall(rf"`({rooms}[\w./-]+)`", prose(page)):
        made = page == CONTRIBUTING and f"`{path}` (new)" in read(page)
        assert made or (ROOT / path).exists(), f"{path}: no such file"


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_sessions_that_are_named_are_there(page: Path) -> None:
    for name in re.findall(r"nox -s ([\w-]+)", read(page)):
        assert name in SESSIONS, f"nox -s {name}: no such session"


def test_the_glossary_is_in_order_and_its_files_are_there() -> None:
    table = read(DOCS / "glossary.md").partition("|---|---|---|\n")[2].partition("\n\n")[0]
    rows = [line.split(" | ") for line in table.splitlines()]
    words = [row[0].strip("| ") for row in rows]
    assert len(words) > 25
    assert words == sorted(words, key=str.lower)
    for word, means, lives in rows:
        assert means.strip(), word
        assert (ROOT / lives.strip(" |`")).is_file(), f"{word.strip('| ')}: {lives}"


# The contributor's guide


def defined(tree: ast.AST, prefix: str = "") -> set[str]:
    """The names that a module defines at its top, and those inside of its classes, dotted."""
    found: set[str] = set()
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            found.add(prefix + node.name)
            if isinstance(node, ast.ClassDef):
                found |= defined(node, f"{node.name}.")
        elif isinstance(node, (ast.Assign, ast.AnnAssign)):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            found |= {prefix + target.id for target in targets if isinstance(target, ast.Name)}
    return found


def walks() -> dict[str, list[tuple[str, bool, list[str]]]]:
    """The steps of each walk: the file, whether it is a new one, and names in it."""
    text = section(read(CONTRIBUTING), "## How to add something")
    found = {}
    for part in re.split(r"^### ", text, flags=re.M)[1:]:
        steps = [
            (path, bool(new), re.findall(r"`([^`]+)`", names or ""))
            for path, new, names in STEP.findall(part)
        ]
        numbers = re.findall(r"^\d+\. ", part, flags=re.M)
        assert len(steps) == len(numbers), f"{part.splitlines()[0]}: a step is not of the form"
        found[part.splitlines()[0]] = steps
    return found


def test_there_is_a_walk_for_each_thing_that_people_add() -> None:
    assert list(walks()) == [
        "An option of `-netdev user`",
        "A program",
        "A law",
        "A device",
        "A picture",
    ]


@pytest.mark.parametrize("walk", walks())
def test_what_a_walk_names_is_there(walk: str) -> None:
    steps = walks()[walk]
    assert len(steps) >= 3
    for path, new, names in steps:
        file = ROOT / path
        if new:
            # NAME may be a folder, too.
            assert file.parent.is_dir() or file.parent.name == "NAME", f"{path}: no such folder"
            assert not names
            continue
        assert file.exists(), f"{path}: no such file"
        known = defined(ast.parse(read(file))) if file.suffix == ".py" else set()
        for name in names:
            there = name in known if file.suffix == ".py" else name in read(file)
            assert there, f"{path}: there is no {name} in it"


def test_every_session_is_explained() -> None:
    table = section(read(CONTRIBUTING), "## Sessions")
    assert sorted(cell.strip("`") for cell in first_cells(table)) == sorted(SESSIONS)


def test_the_changelog_has_its_form() -> None:
    version = tomllib.loads(read(ROOT / "pyproject.toml"))["project"]["version"]
    text = read(ROOT / "CHANGELOG.md")
    heads = re.findall(r"^## (.*)$", text, flags=re.M)
    assert heads[0] == "[Unreleased]"
    assert all(re.fullmatch(r"\[\d+\.\d+\.\d+\] - \d{4}-\d\d-\d\d", head) for head in heads[1:])
    assert heads[1].startswith(f"[{version}]")
    kinds = {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}
    assert set(re.findall(r"^### (.*)$", text, flags=re.M)) <= kinds


# Examples


def prompts(page: Path) -> list[Block]:
    """The blocks of Python with a prompt, as one: names of an earlier one are known in the next."""
    return list(blocks(page, "pycon"))


EXAMPLES = [page for page in PAGES if prompts(page) and page != notebook_page.PAGE]
"""``tests/test_notebook.py`` has that of the notebook, which needs more."""


@pytest.mark.parametrize("page", EXAMPLES, ids=named)
def test_examples_in_python_do_what_they_show(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    text = "".join("\n" * 2 + block.text for block in prompts(page))
    test = doctest.DocTestParser().get_doctest(text, {}, named(page), str(page), 0)
    assert test.examples
    said = io.StringIO()
    flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    doctest.DocTestRunner(verbose=False, optionflags=flags).run(test, out=said.write)
    assert not said.getvalue(), said.getvalue()


NOT_RUN = re.compile(r"not run: .+ \((tests/[\w/]+\.py)\)")
COMMANDS = [block for page in PAGES for block in blocks(page, "console")]


def lines_of(block: Block) -> list[tuple[str, list[str]]]:
    """The command lines of a block, each with what it printed."""
    found: list[tuple[str, list[str]]] = []
    going_on = False
    for line in block.text.splitlines():
        if going_on:
            found[-1] = (found[-1][0] + "\n" + line, [])
        elif line.startswith("$ "):
            found.append((line[2:], []))
        else:
            found[-1][1].append(line)
            continue
        going_on = line.endswith("\\")
    return [(line.replace("\\\n", " "), printed) for line, printed in found]


def test_there_are_examples_of_commands() -> None:
    assert len(COMMANDS) > 5
    for block in COMMANDS:
        assert block.text.startswith("$ "), f"{block}: a console block begins with a prompt"


@pytest.mark.parametrize("block", COMMANDS, ids=str)
def test_examples_of_commands_do_what_they_show(
    block: Block, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    if not_run := NOT_RUN.fullmatch(block.remark):
        # Another test does what takes long here; it has to be there.
        assert (ROOT / not_run[1]).is_file(), f"{block}: {not_run[1]}: no such file"
        return
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tests").symlink_to(ROOT / "tests")
    for line, printed in lines_of(block):
        program, *words = shlex.split(line)
        assert program == "desim", f"{block}: {line}: only desim can be run here"
        code = main(words)
        out, err = capsys.readouterr()
        done = (0, 1) if words[0] == "diff" else (0,)  # 1: the two runs differ
        assert code in done, f"{block}: {line}: {err}"
        assert err == "", f"{block}: {line}"
        said = iter(out.splitlines())
        for wanted in printed:
            assert wanted.strip(" .") == "" or wanted in said, f"{block}: not printed: {wanted}"


def test_whole_scenarios_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    found = [
        (block.remark.removeprefix("example: "), block.text)
        for page in PAGES
        for block in blocks(page, "toml")
        if block.remark.startswith("example: ")
    ]
    assert found
    for name, text in found:
        (tmp_path / name).write_text(text, encoding="utf-8")
        with redirect_stdout(io.StringIO()):
            assert main(["run", name, "--quiet"]) == 0


@pytest.mark.parametrize("name", AT_ROOT)
def test_the_site_includes_the_pages_at_the_root(name: str) -> None:
    inside = "index.md" if name == "README.md" else name
    assert f"{{include}} ../{name}\n" in read(DOCS / inside)
