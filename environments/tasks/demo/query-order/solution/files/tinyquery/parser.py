"""Tokens to queries.

    query      = "select" ("*" | name ("," name)*) ["where" either] ["order" "by" order ("," order)*]
                 ["limit" number ["offset" number]]
    order      = name ["asc" | "desc"]
    either     = both ("or" both)*
    both       = negated ("and" negated)*
    negated    = "not" negated | "(" either ")" | comparison
    comparison = name ("=" | "!=" | "<" | "<=" | ">" | ">=") literal | name ["not"] "in" "(" literal ("," literal)* ")"
    literal    = number | text
"""

from dataclasses import dataclass

from .errors import QueryError
from .lexer import tokens


@dataclass
class Query:
    columns: list  # names, or None for all
    condition: tuple  # see evaluate.py, or None
    order: list  # (name, whether descending)
    limit: int  # or None for all
    offset: int


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
        order = self.order() if self.accept("keyword", "order") else []
        limit = self.whole_number() if self.accept("keyword", "limit") else None
        offset = self.whole_number() if limit is not None and self.accept("keyword", "offset") else 0
        self.expect("end")
        return Query(columns, condition, order, limit, offset)

    def order(self):
        self.expect("keyword", "by")
        order = [self.direction()]
        while self.accept("symbol", ","):
            order.append(self.direction())
        return order

    def direction(self):
        name = self.expect("name")
        if self.accept("keyword", "desc"):
            return (name, True)
        self.accept("keyword", "asc")
        return (name, False)

    def whole_number(self):
        number = self.expect("number")
        if number < 0 or number != int(number):
            raise QueryError(f"expected a whole number of 0 or more, found {number}")
        return int(number)

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
        if self.accept("keyword", "not"):
            self.expect("keyword", "in")
            return ("not", ("in", column, self.literals()))
        if self.accept("keyword", "in"):
            return ("in", column, self.literals())
        operator = self.next()
        if operator.kind != "symbol" or operator.value not in COMPARISONS:
            raise QueryError(f"expected a comparison after {column}")
        return ("compare", column, operator.value, self.literal())

    def literals(self):
        self.expect("symbol", "(")
        found = [self.literal()]
        while self.accept("symbol", ","):
            found.append(self.literal())
        self.expect("symbol", ")")
        return found

    def literal(self):
        token = self.next()
        if token.kind not in ("number", "text"):
            raise QueryError("expected a number or a text")
        return token.value
