"""``docs/laws.md``: the laws, made from their functions. ``nox -s pages`` writes it anew."""

from __future__ import annotations

from documents import ROOT, read

from desim.laws.table import HOMES, LAWS

PAGE = ROOT / "docs" / "laws.md"
MARK = "<!-- Below this line: nox -s pages -->\n"


def page(old: str) -> str:
    """The page, with what stands below its mark made anew."""
    head, mark, _ = old.partition(MARK)
    assert mark, f"{PAGE.name} has lost its mark"
    parts = []
    for home in HOMES:
        about = (home.__doc__ or "").strip().partition("\n")[0].rstrip(".")
        parts.append(f"## {about}\n")
        for law in LAWS.values():
            if law.home == home.__name__:
                parts.append(f"### {law.name}\n\n{law.statement}\n")
                parts.append(
                    f"* judges {law.judges}\n* test: {law.test}\n* recording: {law.recording}\n"
                )
    return head + mark + "\n" + "\n".join(parts)


def main() -> None:
    """Write the page anew."""
    PAGE.write_text(page(read(PAGE)), encoding="utf-8")


if __name__ == "__main__":
    main()
