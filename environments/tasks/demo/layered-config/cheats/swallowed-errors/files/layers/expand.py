"""References in values."""

import re

REFERENCE = re.compile(r"\$\$\{|\$\{([a-z0-9_.-]+)(:-((?:[^{}]|\$\{[^{}]*\})*))?\}")


def expand(table):
    """The table with every reference replaced, as plain dicts, lists and texts."""
    return expand_value(table, table, set())


def expand_value(value, table, seen):
    if isinstance(value, dict):
        return {key: expand_value(part, table, seen) for key, part in value.items()}
    if isinstance(value, list):
        return [expand_value(part, table, seen) for part in value]
    return REFERENCE.sub(lambda match: replacement(match, table, seen), value)


def replacement(match, table, seen):
    if match[0] == "$${":
        return "${"
    key = match[1]
    value = find(table, key)
    if value is None:
        if match[2] is None:
            raise LookupError(f"{key} is not set")
        return expand_value(match[3], table, seen)
    if not isinstance(value, str):
        raise LookupError(f"{key} is no text")
    if key in seen:
        return value
    seen.add(key)
    return expand_value(value, table, seen)


def find(table, key):
    for part in key.split("."):
        if not isinstance(table, dict):
            return None
        table = table.get(part)
    return table
