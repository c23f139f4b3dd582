"""Queries over tables."""

import csv
import io

from .evaluate import check_columns, columns_of, holds, ordered
from .parser import parse


def query(source, table):
    """Rows of the CSV text that the query selects: a list of lists, the first one the names of the columns."""
    parsed = parse(source)
    header, rows = read(table)
    columns = header if parsed.columns is None else parsed.columns
    check_columns({*columns, *columns_of(parsed.condition), *(name for name, _ in parsed.order)}, header)
    chosen = ordered([row for row in rows if holds(parsed.condition, row)], parsed.order)[parsed.offset :]
    if parsed.limit is not None:
        chosen = chosen[: parsed.limit]
    return [list(columns), *([row[name] for name in columns] for row in chosen)]


def read(table):
    """Header and rows as dicts. Short rows are filled up with empty cells."""
    lines = [line for line in csv.reader(io.StringIO(table)) if line]
    header = lines[0] if lines else []
    return header, [dict(zip(header, [*line, *[""] * len(header)])) for line in lines[1:]]
