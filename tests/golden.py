"""``results/``: what the shipped scenarios show and their fingerprints, to be compared bit for bit.

A change of behaviour shows up in review as a change of these files; its commit says why.
Run as a program (``nox -s results``) this writes them anew.
"""

from __future__ import annotations

from pathlib import Path

from runs import SHIPPED, shipped_run

from desim.report import terminal

FOLDER = Path(__file__).resolve().parent.parent / "results"
FINGERPRINTS = "fingerprints.toml"


def report(name: str) -> str:
    """What ``desim run`` prints for a shipped scenario where there is no terminal."""
    result = shipped_run(name)
    return terminal.text(result, result.config) + "\n"


def long_report(name: str) -> str:
    """What ``desim run -vv`` prints on a terminal of 100 columns."""
    result = shipped_run(name)
    return terminal.text(result, result.config, terminal.WIDTH, 2) + "\n"


def fingerprints() -> str:
    """The fingerprint of every shipped scenario, with its ingredients."""
    lines = ["# The same on every Python, machine and hash seed. Made by: nox -s results"]
    for name in SHIPPED:
        lines += ["", f"[{name}]"]
        lines += [
            f'{part} = "{value}"' for part, value in shipped_run(name).fingerprint._asdict().items()
        ]
    return "\n".join(lines) + "\n"


def files() -> dict[str, str]:
    """Every file of the folder, by name."""
    made = {FINGERPRINTS: fingerprints()}
    for name in SHIPPED:
        made |= {f"{name}.txt": report(name), f"{name}-vv.txt": long_report(name)}
    return made


def main() -> None:
    """Write the folder."""
    made = files()
    for path in FOLDER.iterdir():
        if path.name not in made:
            path.unlink()
    for name, text in made.items():
        (FOLDER / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
