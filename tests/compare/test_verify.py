"""``desim verify``: is what lies in a folder what the run was, and does it do the same again?

That all of ``results/`` is as it was, other tests of the gate hold (``test_machine_determinism``,
``test_terminal``), by the same functions; here two cheap scenarios stand for them.
"""

from __future__ import annotations

import json
from pathlib import Path

import golden
import pytest
from runs import SHIPPED, shipped_run

from desim.cli import main
from desim.compare import results

CHEAP = "refused"


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("verify") / "out"
    words = ["--set", "guest.modprobe=e1000 InterruptThrottleRate=500", "--seed", "5"]
    assert main(["run", CHEAP, "--out", str(out), "--quiet", *words]) in (0, 1)
    return out


def copied(folder: Path, to: Path) -> Path:
    import shutil

    shutil.copytree(folder, to / "out")
    return to / "out"


def verified(folder: Path, capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str]:
    capsys.readouterr()
    code = main(["verify", str(folder), *words])
    return code, capsys.readouterr().out


def test_a_run_with_settings_and_a_seed_is_run_again(
    saved: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert verified(saved, capsys) == (0, f"{saved}: as it was\n")
    assert verified(saved.parent, capsys) == (0, f"{saved}: as it was\n")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["http", "names"])
def test_a_run_that_reads_files_is_run_again(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["run", name, "--out", str(tmp_path / "out"), "--quiet"]) == 0
    assert verified(tmp_path / "out", capsys)[0] == 0


def test_a_machine_from_qemus_options_is_run_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["-nic", "user,model=e1000", "--guest", "ping -c 1 10.0.2.2", "--costs", "tcg"]
    assert main(["qemu", *words, "--out", str(tmp_path / "out"), "--quiet"]) == 0
    assert verified(tmp_path / "out", capsys)[0] == 0


@pytest.mark.parametrize(
    ("name", "old", "new", "said"),
    [
        (
            "trace.jsonl",
            b'"stage": "net_rx_action"',
            b'"stage": "net_tx_action"',
            "names (other functions",
        ),
        ("capture-nic.pcapng", b"\x45\x00", b"\x45\x01", "bytes (other bytes on the wire"),
        ("scenario.json", b"Rate=500", b"Rate=600", "does something else when it is run again"),
    ],
)
def test_what_was_changed_is_told(
    saved: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    name: str,
    old: bytes,
    new: bytes,
    said: str,
) -> None:
    out = copied(saved, tmp_path)
    data = (out / name).read_bytes()
    assert old in data
    (out / name).write_bytes(data.replace(old, new, 1))
    code, text = verified(out, capsys)
    assert code == 1
    assert text.startswith(f"{out}: differs\n")
    assert said in text
    assert name != "scenario.json" or "they part at" in text


def test_files_that_came_or_went_or_changed(
    saved: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = copied(saved, tmp_path)
    (out / "guest").mkdir(exist_ok=True)
    (out / "guest" / "new").write_text("x")
    code, text = verified(out, capsys)
    assert (code, "guest/new: is not the run's" in text) == (1, True)
    (out / "guest" / "new").unlink()
    (out / "scenario.json").unlink()
    code, text = verified(out, capsys)
    assert (code, "does not say what was run" in text) == (1, True)


def test_results_of_a_project(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    whole = (golden.FOLDER / golden.FINGERPRINTS).read_text()
    begin = whole.index(f"[{CHEAP}]")
    table = whole[begin:].split("\n\n")[0]
    (tmp_path / golden.FINGERPRINTS).write_text(f"{results.HEAD}\n\n{table}\n")
    for name in (f"{CHEAP}.txt", f"{CHEAP}-vv.txt"):
        (tmp_path / name).write_bytes((golden.FOLDER / name).read_bytes())
    page = results.page(shipped_run(CHEAP))
    (tmp_path / f"{CHEAP}.html").write_text(page)
    (tmp_path / golden.PAGES).write_text(results.pages([(CHEAP, page)]))
    assert verified(tmp_path, capsys) == (0, f"{CHEAP}: as it was\n")
    (tmp_path / golden.PAGES).write_text(results.pages([(CHEAP, page + " ")]))
    report = tmp_path / f"{CHEAP}.txt"
    report.write_text(report.read_text().replace("programs", "pograms", 1))
    wrong = table.replace('names = "', 'names = "0', 1)
    unknown = table.replace(CHEAP, "nothing", 1)
    (tmp_path / golden.FINGERPRINTS).write_text(f"{wrong}\n\n{unknown}\n")
    code, text = verified(tmp_path, capsys)
    assert code == 1
    assert "fingerprints.toml: other names (other functions" in text
    assert f"{CHEAP}.txt: 2 lines differ\n    -pograms" in text
    assert f"pages.toml: the page of this run is another (desim report {CHEAP})" in text
    assert "nothing: differs" in text


def test_the_names_in_results_are_those_that_ship() -> None:
    import tomllib

    data = tomllib.loads((golden.FOLDER / golden.FINGERPRINTS).read_text())
    assert sorted(data) == sorted(SHIPPED)


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({}, "holds nothing that can be verified"),
        ({"fingerprints.toml": "[x"}, "not a file of fingerprints"),
        ({"fingerprints.toml": "[x]\ny = 1"}, "not a file of fingerprints"),
    ],
)
def test_what_cannot_be_verified(
    files: dict[str, str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    assert main(["verify", str(tmp_path)]) == 2
    assert said in capsys.readouterr().err
    assert main(["verify", str(tmp_path / "no")]) == 2


def test_a_scenario_that_is_none(
    saved: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = copied(saved, tmp_path)
    said = json.loads((out / "scenario.json").read_text())
    said["scenario"]["guest"]["modprob"] = "e1000"
    (out / "scenario.json").write_text(json.dumps(said))
    assert main(["verify", str(out)]) == 2
    assert "guest.modprob" in capsys.readouterr().err
    (out / "scenario.json").write_text("[]")
    assert main(["verify", str(out)]) == 2
    assert "not a scenario that desim has written" in capsys.readouterr().err
