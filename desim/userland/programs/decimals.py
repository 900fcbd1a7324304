"""Fractions as C programs print them: exact, rounded to the nearest, ties to even."""

from __future__ import annotations

from fractions import Fraction


def nearest(value: Fraction) -> int:
    """The nearest whole number, the even one of two."""
    twice = 2 * value.denominator
    whole, rest = divmod(2 * value.numerator + value.denominator, twice)
    return whole - (not rest and whole % 2)


def fixed(value: Fraction, places: int) -> str:
    """``%.Nf``."""
    scaled = nearest(abs(value) * 10**places)
    sign = "-" if value < 0 and scaled else ""
    digits = str(scaled).rjust(places + 1, "0")
    return sign + (f"{digits[:-places]}.{digits[-places:]}" if places else digits)


def general(value: Fraction, digits: int) -> str:
    """``%.Ng`` of a number from 0 on: no zeros at the end, an exponent for what is very large
    or below 0.0001."""
    if not value:
        return "0"
    exponent = len(str(value.numerator)) - len(str(value.denominator))
    if value < Fraction(10) ** exponent:
        exponent -= 1
    scaled = nearest(value * Fraction(10) ** (digits - 1 - exponent))
    if scaled == 10**digits:
        scaled, exponent = scaled // 10, exponent + 1
    if -5 < exponent < digits:
        places = digits - 1 - exponent
        text = fixed(Fraction(scaled, 10**places), places)
        return text.rstrip("0").rstrip(".") if "." in text else text
    text = str(scaled)
    mantissa = f"{text[0]}.{text[1:]}".rstrip("0").rstrip(".")
    return f"{mantissa}e{'-' if exponent < 0 else '+'}{abs(exponent):02d}"
