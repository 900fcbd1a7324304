"""What a scenario expects is compared with what its run wrote."""

from __future__ import annotations

from desim.config import Expect
from desim.scenario import expectations
from desim.spool import Log


def failures(expect: Expect, files: dict[str, bytes]) -> list[str]:
    return expectations.failures(expect, {name: Log.of(data) for name, data in files.items()})


EXPECT = Expect(guest_files={"hello.txt": b"Hello\n"}, host_files={"out": b"\0\1"})


def test_what_is_met_says_nothing() -> None:
    assert failures(EXPECT, {"guest/hello.txt": b"Hello\n", "host/out": b"\0\1", "x": b""}) == []


def test_a_file_that_is_not_there_is_answered_with_the_nearest() -> None:
    expect = Expect(guest_files={"hello.txt": b""})
    assert failures(expect, {"guest/helo.txt": b""}) == [
        "guest/hello.txt: was not written; did you mean 'guest/helo.txt'?"
    ]


def test_text_that_differs_is_shown_as_a_diff() -> None:
    expect = Expect(guest_files={"a": b"one\ntwo\n"})
    (text,) = failures(expect, {"guest/a": b"one\ntoo"})
    assert text.splitlines() == [
        "guest/a: differs from what is expected at byte 5 (7 bytes, 8 expected)",
        "  --- expected",
        "  +++ written",
        "  @@ -1,2 +1,2 @@",
        "   one",
        "  -two",
        "  +too  (no newline at the end)",
    ]


def test_bytes_that_differ_are_shown_from_the_first_difference() -> None:
    expect = Expect(host_files={"a": b"\xff" * 8 + b"\1"})
    (text,) = failures(expect, {"host/a": b"\xff" * 8 + b"\2\3"})
    assert "at byte 8 (10 bytes, 9 expected)" in text
    assert "expected  01\n" in text
    assert text.endswith("written   02 03")


def test_a_diff_has_an_end() -> None:
    expect = Expect(guest_files={"a": b"".join(b"%d\n" % i for i in range(1000))})
    (text,) = failures(expect, {"guest/a": b"x\n" * 1000})
    assert len(text.splitlines()) < 50
