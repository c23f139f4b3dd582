"""Amounts: text outside, whole cents inside."""

import re

AMOUNT = re.compile(r"([0-9]{1,9})(?:\.([0-9]{2}))?")


def cents(amount):
    """Cents of a text such as "12.50" or "12". Zero and anything else is a ValueError."""
    match = AMOUNT.fullmatch(amount)
    if match is None or int(match[1]) + int(match[2] or 0) == 0:
        raise ValueError(f"not an amount: {amount!r}")
    return int(match[1]) * 100 + int(match[2] or 0)


def text(amount):
    """Text of cents: 1250 -> "12.50", -5 -> "-0.05"."""
    sign = "-" if amount < 0 else ""
    return f"{sign}{abs(amount) // 100}.{abs(amount) % 100:02d}"
