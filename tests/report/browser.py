"""A headless Chromium for tests, driven over its debugging pipe: no package and no port is needed.

Commands and answers are JSON, each with a zero byte behind it, on the file descriptors 3 and 4 of
the browser (``--remote-debugging-pipe``). What a page says on its way (exceptions, messages of the
console, requests) is kept.
"""

from __future__ import annotations

import base64
import fcntl
import itertools
import json
import os
import select
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

OPTIONS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--no-first-run",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--force-color-profile=srgb",
    "--font-render-hinting=none",
    "--remote-debugging-pipe",
)
PATIENCE_S = 60
"""For one answer: a machine may be busy."""


def chromium() -> str | None:
    """The browser, if there is one."""
    return shutil.which("chromium") or shutil.which("chromium-browser")


class Browser:
    """One process of a browser. Use ``opened``."""

    def __init__(self, process: subprocess.Popen[bytes], told: int, asked: int) -> None:
        self._process = process
        self._told = told
        self._asked = asked
        self._numbers = itertools.count(1)
        self._left = b""
        self.events: list[dict[str, Any]] = []

    def ask(self, method: str, session: str | None = None, **parameters: Any) -> dict[str, Any]:
        """Send a command, and wait for its answer."""
        number = next(self._numbers)
        message = {"id": number, "method": method, "params": parameters}
        if session is not None:
            message["sessionId"] = session
        os.write(self._told, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._next()
            if answer.get("id") == number:
                assert "error" not in answer, f"{method}: {answer['error']}"
                result: dict[str, Any] = answer["result"]
                return result

    def wait(self, method: str, session: str) -> None:
        """Wait until an event has come."""
        while not any(e["method"] == method and e.get("sessionId") == session for e in self.events):
            self._next()

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self._left:
            ready, _, _ = select.select([self._asked], [], [], PATIENCE_S)
            assert ready, f"no answer in {PATIENCE_S} s"
            piece = os.read(self._asked, 1 << 16)
            assert piece, "the browser has gone"
            self._left += piece
        text, _, self._left = self._left.partition(b"\0")
        message: dict[str, Any] = json.loads(text)
        if "method" in message:
            self.events.append(message)
        return message

    def page(self, path: Path, width: int, *, dark: bool = False, height: int = 900) -> Page:
        """Open a file in a window of its own."""
        target = self.ask("Target.createTarget", url="about:blank")["targetId"]
        session = self.ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        page = Page(self, session)
        for domain in ("Page", "Runtime", "Log", "Network"):
            page.ask(f"{domain}.enable")
        page.ask(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=False,
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        page.ask("Emulation.setEmulatedMedia", features=[scheme])
        page.ask("Page.navigate", url=path.resolve().as_uri())
        self.wait("Page.loadEventFired", session)
        return page


class Page:
    """A page in its window."""

    def __init__(self, browser: Browser, session: str) -> None:
        self._browser = browser
        self._session = session

    def ask(self, method: str, **parameters: Any) -> dict[str, Any]:
        """A command to this page."""
        return self._browser.ask(method, self._session, **parameters)

    def _events(self, *methods: str) -> list[dict[str, Any]]:
        return [
            e["params"]
            for e in self._browser.events
            if e.get("sessionId") == self._session and e["method"] in methods
        ]

    @property
    def complaints(self) -> list[str]:
        """Exceptions, and what the console has."""
        found = self._events(
            "Runtime.exceptionThrown", "Runtime.consoleAPICalled", "Log.entryAdded"
        )
        return [json.dumps(one) for one in found]

    @property
    def requests(self) -> list[str]:
        """The addresses that the page has asked for."""
        return [one["request"]["url"] for one in self._events("Network.requestWillBeSent")]

    def run(self, script: str) -> Any:
        """The value of an expression of JavaScript."""
        answer = self.ask("Runtime.evaluate", expression=script, returnByValue=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def picture(self, selector: str, scale: float = 1) -> bytes:
        """A PNG of an element, as far as it is in the page's width."""
        box = self.run(
            f"(() => {{ const b = document.querySelector({json.dumps(selector)})"
            ".getBoundingClientRect(); return {x: b.x + scrollX, y: b.y + scrollY, "
            "width: Math.min(b.width, innerWidth - b.x), height: b.height} })()"
        )
        taken = self.ask(
            "Page.captureScreenshot", clip=box | {"scale": scale}, captureBeyondViewport=True
        )
        return base64.b64decode(taken["data"])

    def mouse(self, kind: str, x: int, y: int, **more: Any) -> None:
        """Something that a mouse does, at a place in the window."""
        self.ask("Input.dispatchMouseEvent", type=kind, x=x, y=y, **more)

    def key(self, key: str) -> None:
        """Press a key."""
        text = {"text": key} if len(key) == 1 else {}
        self.ask("Input.dispatchKeyEvent", type="keyDown", key=key, **text)
        self.ask("Input.dispatchKeyEvent", type="keyUp", key=key)


START = """
import os, sys
os.dup2(int(sys.argv[1]), 3)
os.dup2(int(sys.argv[2]), 4)
os.execv(sys.argv[3], sys.argv[3:])
"""
"""Puts the two ends where the browser looks for them, and becomes the browser."""


def _pipe() -> tuple[int, int]:
    """A pipe whose ends are not in the way of 3 and 4."""
    low = os.pipe()
    high = [fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, 10) for end in low]
    for end in low:
        os.close(end)
    return high[0], high[1]


@contextmanager
def opened() -> Iterator[Browser]:
    """A browser with a new profile, closed at the end."""
    program = chromium()
    assert program is not None
    ask_read, ask_write = _pipe()
    told_read, told_write = _pipe()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        words = [str(ask_read), str(told_write), program, *OPTIONS, f"--user-data-dir={profile}"]
        process = subprocess.Popen(
            [sys.executable, "-S", "-c", START, *words],
            pass_fds=(ask_read, told_write),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(ask_read)
        os.close(told_write)
        browser = Browser(process, ask_write, told_read)
        try:
            yield browser
            browser.ask("Browser.close")
        finally:
            os.close(ask_write)
            os.close(told_read)
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
