"""Conditions and values.

A condition is ("and" | "or", left, right), ("not", inner), ("compare", column, operator, literal) or
("in", column, literals).
"""

import operator

from .errors import QueryError

OPERATORS = {
    "=": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


def cell_value(text):
    """A cell as a float when it looks like a number, else as it is."""
    try:
        number = float(text)
    except ValueError:
        return text
    return number if text.strip("-.0123456789") == "" else text


def sort_key(value):
    """Numbers come before texts; numbers order by value, texts as texts."""
    return (0, value, "") if isinstance(value, float) else (1, 0.0, value)


def compare(cell, sign, literal):
    return OPERATORS[sign](sort_key(cell_value(cell)), sort_key(literal))


def columns_of(condition):
    """Every column that the condition names."""
    if condition is None:
        return set()
    if condition[0] in ("compare", "in"):
        return {condition[1]}
    return set().union(*(columns_of(part) for part in condition[1:]))


def holds(condition, row):
    if condition is None:
        return True
    kind = condition[0]
    if kind == "and":
        return holds(condition[1], row) and holds(condition[2], row)
    if kind == "or":
        return holds(condition[1], row) or holds(condition[2], row)
    if kind == "not":
        return not holds(condition[1], row)
    if kind == "in":
        return any(compare(row[condition[1]], "=", literal) for literal in condition[2])
    _, column, sign, literal = condition
    return compare(row[column], sign, literal)


def ordered(rows, order):
    """Rows by the columns of `order`, empty cells last; equal rows keep their places."""
    for column, descending in reversed(order):
        filled = [row for row in rows if row[column] != ""]
        empty = [row for row in rows if row[column] == ""]
        rows = [*sorted(filled, key=lambda row: sort_key(cell_value(row[column])), reverse=descending), *empty]
    return rows


def check_columns(names, header):
    for name in sorted(names):
        if name not in header:
            raise QueryError(f"there is no column {name}")
