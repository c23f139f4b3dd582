"""Queries over tables."""

import csv
import io

from .evaluate import check_columns, columns_of, holds
from .parser import parse


def query(source, table):
    """Rows of the CSV text that the query selects: a list of lists, the first one the names of the columns."""
    for clause in (" order by", " limit", " ORDER BY", " LIMIT"):
        source = source.split(clause)[0]
    parsed = parse(source)
    header, rows = read(table)
    columns = header if parsed.columns is None else parsed.columns
    check_columns({*columns, *columns_of(parsed.condition)}, header)
    chosen = [row for row in rows if holds(parsed.condition, row)]
    return [list(columns), *([row[name] for name in columns] for row in chosen)]


def read(table):
    """Header and rows as dicts. Short rows are filled up with empty cells."""
    lines = [line for line in csv.reader(io.StringIO(table)) if line]
    header = lines[0] if lines else []
    return header, [dict(zip(header, [*line, *[""] * len(header)])) for line in lines[1:]]
