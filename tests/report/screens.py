"""The first screen of runs that people really make, at three widths, as text to be compared.

Run as a program (``nox -s results``) this writes ``tests/report/screens`` anew.
"""

from __future__ import annotations

import tempfile
from functools import cache
from pathlib import Path

from desim.experiment.run import RunResult, run
from desim.report import terminal
from desim.scenario.loader import load_scenario

FOLDER = Path(__file__).with_name("screens")
WIDTHS = (60, 80, 120)

SCENARIOS = {
    "download": """
        description = "5 MB through a forward"
        qemu = "-nic user,model=e1000,hostfwd=tcp::8080-:80"
        guest.run = [{command = "httpd -f -p 80 -h www"}]
        host.run = [{command = "curl -s -o got.bin http://localhost:8080/five.bin"}]
        expect.host.file."got.bin" = {same_as = "www/five.bin"}
    """,
    "ping": """
        description = "Two thousand round trips"
        qemu = "-nic user,model=e1000"
        guest.run = [{command = "ping -c 2000 10.0.2.2"}]
    """,
    "loss": """
        description = "Ten connections at once, one frame in fifty lost"
        qemu = [
            "-netdev user,id=u,hostfwd=tcp::5555-:80 -device e1000,netdev=u",
            "-object filter-loss,id=f,netdev=u,queue=all,probability=2%",
        ]
        guest.run = [{command = "httpd -f -p 80 -h www"}]
        host.run = [
            {command = "curl -s -o 0 http://localhost:5555/page"},
            {command = "curl -s -o 1 http://localhost:5555/page"},
            {command = "curl -s -o 2 http://localhost:5555/page"},
            {command = "curl -s -o 3 http://localhost:5555/page"},
            {command = "curl -s -o 4 http://localhost:5555/page"},
            {command = "curl -s -o 5 http://localhost:5555/page"},
            {command = "curl -s -o 6 http://localhost:5555/page"},
            {command = "curl -s -o 7 http://localhost:5555/page"},
            {command = "curl -s -o 8 http://localhost:5555/page"},
            {command = "curl -s -o 9 http://localhost:5555/page"},
        ]
    """,
    "failed": """
        description = "A web page that is not there, and a port that nobody has"
        qemu = "-nic user,model=e1000,hostfwd=tcp::8080-:80"
        guest.run = [{command = "httpd -f -p 80 -h www"}]
        host.run = [
            {command = "curl -f http://localhost:8080/nothing"},
            {command = "curl http://localhost:8081/"},
        ]
        expect.host.file."got" = "never"
    """,
}
"""By name, as scenario files; ``hello`` is the shipped one."""


@cache
def result(name: str) -> RunResult:
    """The run of one of them, in a folder of its own."""
    if name == "hello":
        return run(load_scenario("hello"))
    with tempfile.TemporaryDirectory() as folder:
        www = Path(folder, "www")
        www.mkdir()
        (www / "five.bin").write_bytes(bytes(range(256)) * 20_480)
        (www / "page").write_bytes(b"0123456789abcdef" * 4096)
        path = Path(folder, f"{name}.toml")
        path.write_text(SCENARIOS[name])
        return run(load_scenario(str(path)))


def screen(name: str, width: int) -> str:
    """What ``desim run`` shows of it on a terminal of ``width`` columns."""
    found = result(name)
    return terminal.text(found, found.config, width) + "\n"


NAMES = ("hello", *SCENARIOS)


def main() -> None:
    """Write the folder."""
    FOLDER.mkdir(exist_ok=True)
    for name in NAMES:
        for width in WIDTHS:
            (FOLDER / f"{name}-{width}.txt").write_text(screen(name, width), encoding="utf-8")


if __name__ == "__main__":
    main()
