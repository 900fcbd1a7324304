"""The page in a browser: it runs, asks nobody for anything, zooms, and looks as it did."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import browser
import numpy as np
import pictures
import pytest
from runs import shipped_run

from desim.experiment.run import run
from desim.report.page.run import page
from desim.scenario.loader import load_scenario

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        browser.chromium() is None, reason="needs Chromium (Debian: apt install chromium)"
    ),
]

SPAN = "document.querySelector('.zoom output').textContent"
MARKS = "document.querySelectorAll('#timeline .m:not([display=none])').length"


@pytest.fixture(scope="module")
def opened() -> Iterator[browser.Browser]:
    with browser.opened() as found:
        yield found


@pytest.fixture(scope="module")
def hello(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("page") / "hello.html"
    path.write_text(page(shipped_run("hello")), encoding="utf-8")
    return path


@pytest.mark.parametrize("width", [390, 1280])
def test_it_runs_without_a_complaint_and_asks_for_nothing(
    opened: browser.Browser, hello: Path, width: int
) -> None:
    shown = opened.page(hello, width)
    assert shown.complaints == []
    assert shown.requests == [hello.resolve().as_uri()]
    for part in pictures.PARTS:
        box = f"document.querySelector('#{part} .picture').getBoundingClientRect()"
        assert shown.run(f"{box}.width") >= width - 2 * 96
        assert shown.run(f"{box}.height") > 100
    assert shown.run("document.documentElement.scrollWidth") <= width


def test_it_zooms_by_buttons_keys_and_wheel_and_moves(opened: browser.Browser, hello: Path) -> None:
    shown = opened.page(hello, 1280)
    begun = shown.run(SPAN)
    assert begun == "1.551 ms from 5.000509310 s"
    shown.run("document.querySelector('[data-do=in]').click()")
    assert shown.run(SPAN).startswith("775.4 µs from 5.000897005 s")
    shown.run("document.querySelector('[data-do=reset]').click()")
    assert shown.run(SPAN) == begun
    shown.run("document.querySelector('[data-zooms]').scrollIntoView()")
    shown.run("document.querySelector('[data-zooms]').focus()")
    for key, span in (("+", "775.4"), ("-", "1.551"), ("0", "1.551")):
        shown.key(key)
        assert shown.run(SPAN).startswith(span)
    shown.key("+")
    shown.key("ArrowRight")
    assert shown.run(SPAN) == "775.4 µs from 5.001090853 s"
    shown.key("0")
    before = shown.run(MARKS)
    shown.mouse("mouseWheel", 640, 100, deltaX=0, deltaY=-100)
    shown.mouse("mouseWheel", 640, 100, deltaX=0, deltaY=-100)
    assert shown.run(SPAN).startswith("992.5 µs")
    assert shown.run(MARKS) < before
    at = shown.run(SPAN)
    shown.mouse("mousePressed", 640, 100, button="left", clickCount=1)
    shown.mouse("mouseMoved", 540, 100, button="left")
    shown.mouse("mouseReleased", 540, 100, button="left", clickCount=1)
    assert shown.run(SPAN) > at
    assert shown.complaints == []


def test_the_wheel_scrolls_the_page_until_somebody_clicks_into_the_picture(
    opened: browser.Browser, hello: Path
) -> None:
    shown = opened.page(hello, 1280)
    shown.run("document.querySelector('[data-zooms]').scrollIntoView()")
    begun = shown.run(SPAN)
    shown.mouse("mouseWheel", 640, 100, deltaX=0, deltaY=-100)
    assert shown.run(SPAN) == begun
    shown.mouse("mouseWheel", 640, 100, deltaX=0, deltaY=-100, modifiers=2)
    assert shown.run(SPAN) != begun


def test_colours_are_the_systems_or_what_the_reader_chooses(
    opened: browser.Browser, hello: Path
) -> None:
    ground = "getComputedStyle(document.documentElement).backgroundColor"
    light, dark = "rgb(255, 255, 255)", "rgb(22, 24, 28)"
    for is_dark, system in ((False, light), (True, dark)):
        shown = opened.page(hello, 1280, dark=is_dark)
        seen = []
        for _ in range(4):
            seen.append(shown.run(ground))
            shown.run("document.getElementById('theme').click()")
        assert seen == [system, light, dark, system]


def test_on_paper_it_is_light_and_has_no_buttons(opened: browser.Browser, hello: Path) -> None:
    shown = opened.page(hello, 800, dark=True)
    shown.ask("Emulation.setEmulatedMedia", media="print")
    colour = "getComputedStyle(document.documentElement).backgroundColor"
    assert shown.run(colour) == "rgb(255, 255, 255)"
    for selector in ("nav", ".zoom", ".help", "#theme"):
        look = f"getComputedStyle(document.querySelector('{selector}')).display"
        assert shown.run(look) == "none"


def test_what_a_scenario_says_does_not_run(opened: browser.Browser, tmp_path: Path) -> None:
    evil = "<script>window.hit=1</script><img src=x onerror='window.hit=1'>"
    path = tmp_path / "evil.toml"
    path.write_text(
        f"""
        description = "{evil}"
        qemu = "-nic user,model=e1000,hostfwd=tcp::5555-:5556"
        guest.run = [{{command = "nc -l -p 5556 > got"}}]
        host.run = [{{command = "echo 'x<svg/onload=hit=1>' | nc -N localhost 5555", at = "5s"}}]
        """
    )
    made = tmp_path / "evil.html"
    made.write_text(page(run(load_scenario(str(path)))), encoding="utf-8")
    shown = opened.page(made, 1280)
    assert shown.run("typeof window.hit") == "undefined"
    assert evil in shown.run("document.querySelector('h1').textContent")
    assert shown.complaints == []
    assert shown.requests == [made.resolve().as_uri()]


def test_the_policy_stops_what_should_ever_get_in(
    opened: browser.Browser, hello: Path, tmp_path: Path
) -> None:
    path = tmp_path / "spoilt.html"
    spoilt = "<script>window.hit=1</script><img src='https://example.invalid/x.png'>"
    text = hello.read_text(encoding="utf-8")
    path.write_text(text.replace("<main", f"{spoilt}<main", 1), encoding="utf-8")
    shown = opened.page(path, 1280)
    assert shown.run("typeof window.hit") == "undefined"
    assert len(shown.complaints) == 2
    assert all("Content Security Policy" in complaint for complaint in shown.complaints)


def test_it_looks_as_the_pictures_that_were_looked_at(opened: browser.Browser, hello: Path) -> None:
    for name, pixels in pictures.taken(opened, hello):
        kept = pictures.decode((pictures.FOLDER / name).read_bytes())
        far = pictures.difference(kept, pixels)
        assert far <= pictures.MOST, f"{name}: {far:.1%} of it differ; see tests/report/pictures.py"


def test_pictures_that_differ_are_told_apart() -> None:
    looks = {
        name.name: pictures.decode(name.read_bytes()) for name in sorted(pictures.FOLDER.iterdir())
    }
    light, dark = looks["hello-1280-light.png"], looks["hello-1280-dark.png"]
    assert pictures.difference(light, light) == 0
    assert pictures.difference(light, dark) > pictures.MOST
    assert pictures.difference(light, looks["hello-390-light.png"]) == 1
    assert pictures.difference(light, np.roll(light, 60, axis=1)) > pictures.MOST
    again = pictures.decode(pictures.encode(light))
    assert pictures.difference(light, again) == 0
