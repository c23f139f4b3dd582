"""One layer's text as a table."""

import re

LINE = re.compile(r"\s*([a-z0-9_-]+(?:\.[a-z0-9_-]+)*)\s*(\+?=)(.*)")


class Items(list):
    """A list in a layer. `fresh` when it replaces what earlier layers have."""

    fresh = False


def parse(text):
    """The layer as nested dicts of texts and Items."""
    table = {}
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip() == "" or line.lstrip().startswith("#"):
            continue
        match = LINE.fullmatch(line)
        if match is None:
            raise ValueError(f"line {number}: neither key = value nor key += value")
        put(table, match[1].split("."), match[2], match[3].strip())
    return table


def put(table, parts, operator, value):
    *parents, last = parts
    for part in parents:
        if not isinstance(table.get(part), dict):
            table[part] = {}
        table = table[part]
    if operator == "=" and value == "[]":
        table[last] = Items()
        table[last].fresh = True
    elif operator == "=":
        table[last] = value
    elif isinstance(table.get(last), Items):
        table[last].append(value)
    else:
        table[last] = Items([value])
