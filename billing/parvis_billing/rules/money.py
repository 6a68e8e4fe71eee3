"""Money in whole numbers: cents for ministries, micro-euros for agents. No float comes near it."""

import re
from fractions import Fraction

MICRO = 1_000_000
MICRO_PER_CENT = 10_000
CENTS_MAX = 10**14
"""A thousand milliards of euros: more is a slip of the pen."""
AMOUNT = re.compile(r"^(-?)([0-9]{1,15})(?:[.,]([0-9]{1,2}))?$")
PRICE = re.compile(r"^([0-9]{1,9})(?:[.,]([0-9]{1,6}))?$")
THIN = "\u202f"
"""Narrow no-break space, as French typography wants it between thousands."""
UNBROKEN = "\u00a0"
"""An amount and its € stay on one line."""


def cents_of(text: str) -> int:
    """`1234.5` → 123450. Raises ValueError."""
    found = AMOUNT.match(text.strip())
    if not found:
        raise ValueError(f"{text!r} is no amount: write 1234.56, with at most two decimals")
    cents = int(found[2]) * 100 + int((found[3] or "").ljust(2, "0"))
    if cents > CENTS_MAX:
        raise ValueError(f"{text!r} is more than any item costs")
    return -cents if found[1] else cents


def micro_of(text: str) -> int:
    """`0.0146` → 14600, a price. Raises ValueError."""
    found = PRICE.match(text.strip())
    if not found:
        raise ValueError(f"{text!r} is no price: write 0.0146, with at most six decimals")
    return int(found[1]) * MICRO + int((found[2] or "").ljust(6, "0"))


def plain(cents: int) -> str:
    """`1234.56`, for machines."""
    return f"{'-' if cents < 0 else ''}{abs(cents) // 100}.{abs(cents) % 100:02}"


def plain_micro(micro: int) -> str:
    """`3.927145`."""
    return f"{'-' if micro < 0 else ''}{abs(micro) // MICRO}.{abs(micro) % MICRO:06}"


def said(cents: int, language: str = "en") -> str:
    """For people: `1 234,56 €` or `€1,234.56`."""
    whole, rest = divmod(abs(cents), 100)
    sign = "−" if cents < 0 else ""
    if language == "fr":
        return f"{sign}{whole:,}".replace(",", THIN) + f",{rest:02}{UNBROKEN}€"
    return f"{sign}€{whole:,}.{rest:02}"


def rounded(value: Fraction) -> int:
    """To the nearest whole number, halves to the even one: no direction is favoured over many."""
    return round(value)
