"""What the documents show is what the commands print."""

from __future__ import annotations

import json
import re

import pytest
from documents import ROOT, blocks

from desim.cli import main


def test_the_readmes_sample_is_what_the_run_prints(capsys: pytest.CaptureFixture[str]) -> None:
    shown = next(b for b in blocks(ROOT / "README.md", "text") if b.remark.startswith("sample: "))
    assert shown.remark == "sample: desim run hello"
    sample = [line for line in shown.text.splitlines() if line.strip(" .")]
    assert len(sample) > 20
    assert main(["run", "hello"]) == 0
    printed = iter(capsys.readouterr().out.splitlines())
    for line in sample:
        assert line in printed, f"not printed, or not in this order: {line}"


def test_the_sample_of_a_ladder_is_what_the_run_prints(capsys: pytest.CaptureFixture[str]) -> None:
    (shown,) = blocks(ROOT / "docs" / "reports.md", "text")
    words = shown.remark.removeprefix("sample: desim ").split()
    assert main(words) == 0
    assert shown.text in capsys.readouterr().out


def test_every_key_of_the_summary_is_described(capsys: pytest.CaptureFixture[str]) -> None:
    page = (ROOT / "docs" / "summary.md").read_text(encoding="utf-8")
    assert main(["run", "hello", "--json"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    summary = json.loads(out)
    table = page.partition("|---|---|\n")[2].partition("\n\n")[0]
    described = [
        name for row in table.splitlines() for name in re.findall(r"`(\w+)`", row.split(" | ")[0])
    ]
    assert described == list(summary)
    inner = [*summary["journey"], *summary["journey"]["stations"][0], *summary["guest"]]
    inner += [*summary["programs"][0], *summary["fingerprint"], *summary["frames"]]
    for name in inner:
        assert f"`{name}`" in page, name
    assert summary["format"] in page
    assert summary["ended"] in page.replace("\n", " ")
