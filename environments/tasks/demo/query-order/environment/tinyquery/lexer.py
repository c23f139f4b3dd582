"""Texts to tokens."""

import re
from typing import NamedTuple

from .errors import QueryError

KEYWORDS = {"select", "where", "and", "or", "not"}
TOKEN = re.compile(
    r"(?P<blank>\s+)"
    r"|(?P<number>-?[0-9]+(?:\.[0-9]+)?)"
    r"|(?P<text>'(?:[^']|'')*')"
    r"|(?P<name>[A-Za-z_][A-Za-z0-9_]*)"
    r"|(?P<symbol><=|>=|!=|[=<>(),*])"
)


class Token(NamedTuple):
    kind: str  # number, text, name, keyword, symbol or end
    value: object


def tokens(source):
    found = []
    position = 0
    while position < len(source):
        match = TOKEN.match(source, position)
        if match is None:
            raise QueryError(f"unexpected {source[position]!r} at {position}")
        position = match.end()
        kind, text = match.lastgroup, match[0]
        if kind == "number":
            found.append(Token("number", float(text)))
        elif kind == "text":
            found.append(Token("text", text[1:-1].replace("''", "'")))
        elif kind == "name" and text.lower() in KEYWORDS:
            found.append(Token("keyword", text.lower()))
        elif kind != "blank":
            found.append(Token(kind, text))
    found.append(Token("end", None))
    return found
