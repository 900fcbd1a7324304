"""``docs/metrics.md``: the figures of a run that have a name, made from their table.

What stands above the mark is written by hand; everything below it is made. Run as a program
(``nox -s pages``) this writes it anew, and a test compares.
"""

from __future__ import annotations

from documents import ROOT, read

from desim.scenario.metrics import EXACTNESS, METRICS, unit

PAGE = ROOT / "docs" / "metrics.md"
MARK = "<!-- Below this line: nox -s pages -->\n"


def page(old: str) -> str:
    """The page, with what stands above the mark in ``old``."""
    head, mark, _ = old.partition(MARK)
    assert mark, f"{PAGE.name} has lost its mark"
    lines = ["", "## How far they can be trusted", "", "| exactness | is |", "|---|---|"]
    lines += [f"| {name} | {text} |" for name, text in EXACTNESS.items()]
    lines += ["", "## All figures", "", "| figure | unit | is | exactness |", "|---|---|---|---|"]
    for name, metric in METRICS.items():
        star = " *" if metric.asked else ""
        about = metric.about.replace("|", "\\|")
        lines.append(f"| `{name}`{star} | {unit(metric.kind)} | {about} | {metric.exactness} |")
    return head + mark + "\n".join(lines) + "\n"


def main() -> None:
    """Write the page anew."""
    PAGE.write_text(page(read(PAGE)), encoding="utf-8")


if __name__ == "__main__":
    main()
