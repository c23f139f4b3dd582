"""Durations as people write them: 2d4h, 1h 30m, 45s."""

import re

UNITS = [("d", 86400), ("h", 3600), ("m", 60), ("s", 1)]
BOUNDS = {"d": None, "h": 24, "m": 60, "s": 60}
PART = re.compile(r" *(0|[1-9][0-9]*)([dhms])")


def parse_duration(text):
    body = text.rstrip(" ")
    total = 0
    position = 0
    last = -1
    names = [name for name, _ in UNITS]
    while position < len(body):
        match = PART.match(body, position)
        if match is None:
            raise ValueError(f"no number with a unit at {body[position:]!r}")
        number = int(match[1])
        index = names.index(match[2])
        if index <= last:
            raise ValueError(f"unit {match[2]} is out of order in {text!r}")
        if last >= 0 and number >= BOUNDS[match[2]]:
            raise ValueError(f"{number}{match[2]} is too large after a larger unit")
        total += number * UNITS[index][1]
        last = index
        position = match.end()
    if last < 0:
        raise ValueError("a duration needs at least one part")
    return total


def format_duration(seconds):
    if seconds < 0:
        raise ValueError(f"a duration is not negative, got {seconds}")
    parts = []
    for name, size in UNITS:
        number, seconds = divmod(seconds, size)
        if number:
            parts.append(f"{number}{name}")
    return "".join(parts) or "0s"
