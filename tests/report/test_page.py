"""The page: one file, the same for ever, in which nothing from elsewhere is markup."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from fractions import Fraction
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import golden
import pytest
from hypothesis import given
from hypothesis import strategies as st
from runs import desim, shipped_run

from desim.errors import OutputError, UserError
from desim.experiment import output as folders
from desim.experiment.journey.select import read_selector
from desim.experiment.run import run
from desim.experiment.saved import Saved
from desim.report.page import output, svg
from desim.report.page.page import Document, html
from desim.report.page.run import Asked, page
from desim.report.page.scale import Scale, round_step, short, tenths
from desim.report.page.stays import SMALL, stays
from desim.report.page.waterfall import aligned
from desim.scenario.loader import load_scenario

ARRIVING = ("hello", "hello-close", "upload", "lossy", "http", "burst")
"""Scenarios with a message that arrives in the guest."""
EVIL = '<script>alert("x")</script><img src=x onerror=alert(1)>\'"&'


class Elements(HTMLParser):
    """The elements of a page with their attributes, and its text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.open: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        if tag not in ("meta", "rect", "line", "path", "circle"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        if tag not in ("meta", "line", "path", "circle") and (tag != "rect" or "rect" in self.open):
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data

    def named(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.found if name == tag]


def test_a_run_and_its_folder_make_the_same_page(tmp_path: Path) -> None:
    folders.write(shipped_run("hello"), tmp_path / "out")
    assert page(Saved(tmp_path / "out")) == page(shipped_run("hello"))


def test_pages_are_the_same_bytes_on_every_python() -> None:
    kept = (golden.FOLDER / "hello.html").read_text(encoding="utf-8")
    assert golden.page("hello") == kept, "nox -s results rewrites it"
    assert golden.pages() == (golden.FOLDER / golden.PAGES).read_text(encoding="utf-8")


def test_nothing_from_elsewhere_is_markup(tmp_path: Path) -> None:
    path = tmp_path / "<script>a<.toml"
    path.write_text(
        f"""
        description = {json.dumps(EVIL)}
        qemu = "-nic user,model=e1000,hostfwd=tcp::5555-:5556"
        guest.run = [{{command = "nc -l -p 5556 > '<script>b<'"}}]
        host.run = [{{command = "echo '<script>c<' | nc -N localhost 5555", at = "5s"}}]
        expect.guest.file."<script>d<" = "<script>e<"
        """
    )
    text = page(run(load_scenario(str(path))))
    elements = Elements(text)
    assert len(elements.named("script")) == 1
    assert not elements.named("img")
    assert 'alert("x")' not in text
    assert "alert(" in elements.text
    assert all(f"<script>{letter}<" in elements.text for letter in "abcd")
    assert not [name for _, attributes in elements.found for name in attributes if name[:2] == "on"]


def test_the_policy_lets_nothing_in_but_what_is_in_the_file() -> None:
    text = page(shipped_run("hello"))
    elements = Elements(text)
    policy = str(next(m["content"] for m in elements.named("meta") if "http-equiv" in m))
    for tag in ("script", "style"):
        (inside,) = re.findall(rf"<{tag}>(.*?)</{tag}>", text, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(inside.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy
    assert policy.startswith("default-src 'none'; ")
    for _, attributes in elements.found:
        assert not attributes.keys() & {"src", "style", "srcset", "action", "xlink:href"}
        assert str(attributes.get("href", "#")).startswith("#")


def test_every_element_is_closed_and_every_link_has_an_end() -> None:
    elements = Elements(page(shipped_run("hello")))
    assert not elements.open
    names = [attributes["id"] for _, attributes in elements.found if "id" in attributes]
    assert len(names) == len(set(names))
    links = {str(attributes["href"])[1:] for attributes in elements.named("a")}
    links |= {str(a["aria-labelledby"]) for _, a in elements.found if "aria-labelledby" in a}
    assert links <= set(names)


def test_every_picture_has_a_name_and_a_table() -> None:
    elements = Elements(page(shipped_run("hello")))
    pictures = [a for a in elements.named("svg") if "picture" in str(a.get("class"))]
    assert pictures
    assert all(a["role"] == "img" and a["aria-label"] for a in pictures)
    assert len(elements.named("details")) == len(pictures)


def test_a_page_without_pictures_says_why() -> None:
    text = page(shipped_run("refused"))
    assert "No message has arrived" in text


# --- the waterfall


@pytest.mark.parametrize("name", ARRIVING)
def test_the_rows_are_the_journey_without_gaps(name: str) -> None:
    journey = shipped_run(name).journey
    rows = stays(journey)
    at = 0
    for row in rows:
        assert row.begin == at
        assert row.ns == sum(part.ns for part in row.parts)
        assert row.lies == all(part.place is None for part in row.parts)
        at += row.ns
    assert at == journey.total_ns
    assert sum(row.ns for row in rows if row.lies) == journey.waiting_ns


@pytest.mark.parametrize("name", ARRIVING)
def test_small_rows_are_joined_where_they_can_be(name: str) -> None:
    journey = shipped_run(name).journey
    rows = stays(journey)
    for row, behind in pairwise(rows):
        if (row.where, row.lies) == (behind.where, behind.lies):
            assert row.key != behind.key
            assert min(row.ns, behind.ns) * SMALL >= journey.total_ns


def test_the_title_is_the_answer() -> None:
    text = page(shipped_run("hello"))
    assert "1,948 µs for 17 bytes; 81 % waiting" in text
    assert "work 376,221 ns + waiting 1,572,149 ns = 1,948,370 ns, exactly" in text


def test_two_runs_are_laid_beside_each_other() -> None:
    rows, others = (stays(shipped_run(name).journey) for name in ("hello", "upload"))
    pairs = aligned(rows, others)
    assert [pair.stay for pair in pairs if pair.stay is not None] == rows
    assert [pair.other for pair in pairs if pair.other is not None] == others
    both = [(p.stay.key, p.other.key) for p in pairs if p.stay is not None and p.other is not None]
    assert both
    assert all(one == other for one, other in both)
    text = page(shipped_run("hello"), Asked(shipped_run("upload")))
    assert "less than upload)" in text
    assert 'class="outline"' in text


def test_a_run_against_itself_is_the_same() -> None:
    text = page(shipped_run("hello"), Asked(shipped_run("hello")))
    assert "(the same as run 067d7788)" in text or "(the same as run " in text


# --- numbers


@given(st.integers(), st.integers().filter(bool), st.integers(0, 6))
def test_a_decimal_is_the_ratio_to_its_digits(
    numerator: int, denominator: int, digits: int
) -> None:
    said = svg.decimal(numerator, denominator, digits)
    assert re.fullmatch(r"-?[0-9]+(\.[0-9]*[1-9])?", said)
    assert said != "-0"
    off = abs(Fraction(said) - Fraction(numerator, denominator))
    assert off <= Fraction(1, 2 * 10**digits)


@given(st.integers(1, 10**13), st.integers(1, 20))
def test_marks_are_round_and_not_too_many(length: int, most: int) -> None:
    marks = Scale(5, 5 + length).marks(most)
    assert 1 <= len(marks) <= most + 1
    assert re.fullmatch(r"[125]0*", str(round_step(length, most)))


def test_times_are_written_for_people() -> None:
    assert [short(ns) for ns in (0, 999, 1_948_370, 99_999_999, 100_000_000, 12_345_678_901)] == [
        "0 ns",
        "999 ns",
        "1,948 µs",
        "99,999 µs",
        "100.0 ms",
        "12.34 s",
    ]
    assert [tenths(ns) for ns in (7, 771_399, 1_800_681)] == ["7 ns", "771.3 µs", "1,800.6 µs"]


def test_text_and_attributes_are_escaped_and_markup_is_not() -> None:
    inner = svg.element("b", EVIL)
    made = svg.element("text", inner, EVIL, x="1", aria_label=EVIL, class_="c")
    elements = Elements(str(made))
    assert [name for name, _ in elements.found] == ["text", "b"]
    assert elements.found[0][1] == {"x": "1", "aria-label": EVIL, "class": "c"}
    assert elements.text == EVIL * 2


# --- the file


def test_a_page_replaces_a_page_and_nothing_else(tmp_path: Path) -> None:
    text = html(Document("empty", []))
    path = tmp_path / "report.html"
    output.write(path, text)
    output.write(path, text + "<!-- again -->")
    assert path.read_text(encoding="utf-8").endswith("<!-- again -->")
    path.write_text("mine")
    with pytest.raises(OutputError, match="no report of desim's; only --force"):
        output.write(path, text)
    output.write(path, text, force=True)
    assert path.read_text(encoding="utf-8") == text
    with pytest.raises(OutputError, match="is a folder"):
        output.prepare(tmp_path)
    with pytest.raises(OutputError, match="there is no folder"):
        output.prepare(tmp_path / "no" / "report.html")
    with pytest.raises(UserError, match="is not a regular file"):
        output.prepare(Path("/dev/null"))


@pytest.mark.slow
def test_the_command_makes_it_of_a_scenario_and_of_a_folder(tmp_path: Path) -> None:
    text = page(shipped_run("hello"))
    out, report, other = tmp_path / "out", tmp_path / "a.html", tmp_path / "b.html"
    done = desim("run", "hello", "--quiet", "--out", str(out), "--report", str(report))
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert report.read_text(encoding="utf-8") == text
    done = desim("report", str(out), "-o", str(other))
    assert done.stdout == f"{other}: {len(text.encode()):,} bytes\n"
    assert other.read_bytes() == report.read_bytes()
    assert desim("report", "hello", "-o", "-").stdout == text
    done = desim("report", str(out), "-o", str(other), "--seed", "2", "--set", "run.until=1s")
    assert done.returncode == 2
    assert done.stderr.splitlines() == [
        f"desim: report: {one}: {out} is no scenario" for one in ("--seed", "--set")
    ]


@pytest.mark.slow
def test_mistakes_are_told_before_anything_runs(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    done = desim("report", "hello", "-o", str(tmp_path / "mine.txt"))
    assert done.returncode == 2
    assert "is no report of desim's" in done.stderr
    done = desim("report", "helo", "-o", str(tmp_path / "report.html"))
    assert done.returncode == 2
    assert "hello" in done.stderr


def test_any_message_has_a_waterfall_and_the_slowest_has_one_by_itself() -> None:
    run_ = shipped_run("itr-light")
    text = page(run_)
    slowest = max(run_.journeys.messages(), key=lambda message: message.total_ns or 0)
    assert f"for ping {slowest.index} of" in text
    chosen = Asked(journeys=(read_selector("ping=7"), read_selector("msg=fastest")))
    text = page(run_, chosen)
    assert 'id="waterfall"' in text
    assert 'id="waterfall-2"' in text
    assert "for ping 7 of" in text
    with pytest.raises(UserError, match="no message of this run"):
        page(run_, Asked(journeys=(read_selector("udp"),)))


def test_the_figures_of_the_summary_are_there() -> None:
    run_ = shipped_run("upload")
    elements = Elements(page(run_))
    for name, value in run_.summary["metrics"].items():
        assert (name in elements.text) == (value is not None), name
    assert "in transfers" in elements.text
    assert "held back" in elements.text
