"""Tokens to queries.

    query      = "select" ("*" | name ("," name)*) ["where" either]
    either     = both ("or" both)*
    both       = negated ("and" negated)*
    negated    = "not" negated | "(" either ")" | comparison
    comparison = name ("=" | "!=" | "<" | "<=" | ">" | ">=") (number | text)
"""

from dataclasses import dataclass

from .errors import QueryError
from .lexer import tokens


@dataclass
class Query:
    columns: list  # names, or None for all
    condition: tuple  # see evaluate.py, or None


COMPARISONS = {"=", "!=", "<", "<=", ">", ">="}


def parse(source):
    return Parser(tokens(source)).query()


class Parser:
    def __init__(self, found):
        self.found = found
        self.position = 0

    def peek(self):
        return self.found[self.position]

    def next(self):
        token = self.peek()
        self.position += 1
        return token

    def accept(self, kind, value):
        if self.peek() != (kind, value):
            return False
        self.position += 1
        return True

    def expect(self, kind, value=None):
        token = self.next()
        if token.kind != kind or (value is not None and token.value != value):
            raise QueryError(f"expected {value or kind}, found {token.value if token.kind != 'end' else 'the end'}")
        return token.value

    def query(self):
        self.expect("keyword", "select")
        columns = self.columns()
        condition = self.either() if self.accept("keyword", "where") else None
        self.expect("end")
        return Query(columns, condition)

    def columns(self):
        if self.accept("symbol", "*"):
            return None
        return self.names()

    def names(self):
        names = [self.expect("name")]
        while self.accept("symbol", ","):
            names.append(self.expect("name"))
        return names

    def either(self):
        left = self.both()
        while self.accept("keyword", "or"):
            left = ("or", left, self.both())
        return left

    def both(self):
        left = self.negated()
        while self.accept("keyword", "and"):
            left = ("and", left, self.negated())
        return left

    def negated(self):
        if self.accept("keyword", "not"):
            return ("not", self.negated())
        if self.accept("symbol", "("):
            inner = self.either()
            self.expect("symbol", ")")
            return inner
        return self.comparison()

    def comparison(self):
        column = self.expect("name")
        operator = self.next()
        if operator.kind != "symbol" or operator.value not in COMPARISONS:
            raise QueryError(f"expected a comparison after {column}")
        return ("compare", column, operator.value, self.literal())

    def literal(self):
        token = self.next()
        if token.kind not in ("number", "text"):
            raise QueryError("expected a number or a text")
        return token.value
