"""Whatever a file or a line says, desim answers: a code, a line for each mistake, no traceback."""

from __future__ import annotations

import contextlib
import io
from pathlib import Path

import pytest
from documents import ROOT
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_qemu_lines import LINES

from desim.cli import main
from desim.scenario.key_texts import KEYS

FILES = [path.read_text(encoding="utf-8") for path in sorted((ROOT / "scenarios").glob("*.toml"))]

SIGNS = r"""= . , [ ] [[ ]] { } " ' \ # | < > && ; $( ` * .. / ~ -"""
VALUES = r"""true -1 1e999 0x10 nan 2016-11-16 "5s" "+1s" "\u0000" 101% every=0 probability= help
interval= restrict=on net= :: 10.0.2.0/33 tcp::1-:2 user id= netdev= e1000 -nic -object
filter-loss"""
ODD = ["\n", "\0", "9" * 30, "\u202e", "\ud7ff", "é", " ", ""]
PIECES = st.one_of(
    st.sampled_from(
        [*(key.rpartition(".")[2] for key in KEYS), *SIGNS.split(), *VALUES.split(), *ODD]
    ),
    st.text(max_size=8),
)


@st.composite
def mutated(draw: st.DrawFn, texts: list[str]) -> str:
    """A text that exists, with some pieces of it replaced, doubled or gone."""
    text = draw(st.sampled_from(texts))
    for _ in range(draw(st.integers(1, 4))):
        begin = draw(st.integers(0, len(text)))
        end = begin + draw(st.integers(0, 6))
        text = text[:begin] + draw(PIECES) + text[end:]
    return text


def answered(words: list[str]) -> tuple[int, str]:
    """The code and the messages of a command; nothing may escape from it."""
    err = io.StringIO()
    with contextlib.redirect_stderr(err), contextlib.redirect_stdout(io.StringIO()):
        code = main(words)
    return code, err.getvalue()


def judge(code: int, err: str) -> None:
    assert code in (0, 2), err
    assert all(line.startswith("desim: ") for line in err.splitlines())
    assert all(len(line) <= 1600 for line in err.splitlines())
    assert "Traceback" not in err
    assert err or code == 0


# The same file is written again and again: its folder needs no cleaning in between.
SHARED = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.mark.slow
@SHARED
@given(text=mutated(FILES))
def test_a_malformed_file(text: str, tmp_path: Path) -> None:
    path = tmp_path / "s.toml"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    judge(*answered(["topology", str(path)]))


@pytest.mark.slow
@SHARED
@given(raw=st.binary(max_size=200))
def test_a_file_that_is_none(raw: bytes, tmp_path: Path) -> None:
    path = tmp_path / "s.toml"
    path.write_bytes(raw)
    judge(*answered(["topology", str(path)]))


@pytest.mark.slow
@given(mutated([line for _, _, line in LINES]))
def test_a_malformed_line(line: str) -> None:
    judge(*answered(["explain", line]))


@pytest.mark.slow
@given(st.lists(PIECES, max_size=12))
def test_words_that_are_no_line(words: list[str]) -> None:
    code, err = answered(["explain", "-nic", "user,model=e1000", *words])
    judge(code, err)


@pytest.mark.slow
@given(mutated([f"seed={n}" for n in range(3)] + ["guest.run[0].at=5s", "expect.ping.p99=< 1ms"]))
def test_a_malformed_setting(setting: str) -> None:
    judge(*answered(["topology", "hello", "--set", setting]))
