"""Elements of SVG and HTML: made of names, attributes and children, escaped here and nowhere else.

Pictures have no ``viewBox`` of their own: across, they are placed in percent of the width that the
reader's window gives them, down, in pixels. So a picture fills a desk's screen and a telephone's,
and its words have the same size on both.
"""

from __future__ import annotations

from markupsafe import Markup, escape

Value = str | int
"""Of an attribute."""

DECIMALS = 3
"""Of a percentage: a hundredth of a pixel where 1,000 pixels are the whole."""


def element(name: str, *children: Markup | str, **attributes: Value) -> Markup:
    """``<name ...>children</name>``; text and values are escaped, ``Markup`` is not.

    A dash in an attribute's name is written ``_``; one at its end (``class_``) is dropped.
    """
    words = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(value)}"'
        for key, value in attributes.items()
    )
    inside = "".join(escape(child) for child in children)
    return Markup(f"<{name}{words}>{inside}</{name}>" if inside else f"<{name}{words}/>")


def joined(*parts: Markup) -> Markup:
    """Parts behind each other, a line each, so that a difference between two files can be read."""
    return Markup("\n").join(parts)


def text(content: str, x: str | int, y: int, class_: str = "", **more: Value) -> Markup:
    """A line of text, its baseline at ``y``."""
    words = {"class_": class_} if class_ else {}
    return element("text", content, x=x, y=y, **words, **more)


def rect(
    x: str | int, y: int, width: str | int, height: int, class_: str, title: str = "", **more: Value
) -> Markup:
    """A rectangle; ``title`` is told when a pointer rests on it."""
    inside = (element("title", title),) if title else ()
    return element("rect", *inside, x=x, y=y, width=width, height=height, class_=class_, **more)


def line(x1: str | int, y1: int, x2: str | int, y2: int, class_: str) -> Markup:
    """A straight line."""
    return element("line", x1=x1, y1=y1, x2=x2, y2=y2, class_=class_)


def decimal(numerator: int, denominator: int, digits: int = DECIMALS) -> str:
    """A ratio as a decimal of at most ``digits`` places, half away from zero: ``12.5``."""
    sign = "-" if (numerator < 0) != (denominator < 0) and numerator else ""
    part, whole = abs(numerator), abs(denominator)
    scaled = (2 * part * 10**digits + whole) // (2 * whole)
    digits_after = f"{scaled % 10**digits:0{digits}d}".rstrip("0") if digits else ""
    said = f"{scaled // 10**digits}" + (f".{digits_after}" if digits_after else "")
    return f"{sign}{said}" if said != "0" else "0"


def percent(part: int, whole: int) -> str:
    """``part`` of ``whole`` as an attribute: ``12.345%``."""
    return f"{decimal(100 * part, whole)}%" if whole else "0%"


def picture(height: int, label: str, *parts: Markup, class_: str = "", **more: Value) -> Markup:
    """A picture of the whole width and ``height`` pixels; ``label`` is what it is called."""
    return element(
        "svg",
        Markup("\n"),
        joined(*parts),
        Markup("\n"),
        class_=f"picture {class_}".strip(),
        width="100%",
        height=height,
        role="img",
        aria_label=label,
        **more,
    )
