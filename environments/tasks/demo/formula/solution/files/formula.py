"""Integer formulas: tokens and values."""

import re

TOKEN = re.compile(r"(?P<blank>[ \t]+)|(?P<number>[0-9]+)|(?P<name>[A-Za-z_][A-Za-z_0-9]*)|(?P<operator>[-+*/%^(),])")
FUNCTIONS = {"min": (1, None), "max": (1, None), "abs": (1, 1)}
LEVELS = [("+", "-"), ("*", "/", "%")]


def tokens(text):
    found = []
    position = 0
    while position < len(text):
        match = TOKEN.match(text, position)
        if match is None:
            raise ValueError(f"unexpected {text[position]!r} at {position}")
        if match.lastgroup != "blank":
            found.append([match.lastgroup, match[0], position])
        position = match.end()
    return found


def evaluate(text, variables):
    parser = Parser(tokens(text))
    tree = parser.sum()
    parser.end()
    return value(tree, variables)


class Parser:
    def __init__(self, found):
        self.found = found
        self.position = 0

    def peek(self):
        if self.position == len(self.found):
            return ("end", "")
        return tuple(self.found[self.position][:2])

    def accept(self, *texts):
        kind, text = self.peek()
        if kind != "operator" or text not in texts:
            return None
        self.position += 1
        return text

    def expect(self, text):
        if self.accept(text) is None:
            raise ValueError(f"expected {text!r}, found {self.peek()[1]!r}")

    def end(self):
        if self.position != len(self.found):
            raise ValueError(f"unexpected {self.peek()[1]!r}")

    def sum(self, level=0):
        if level == len(LEVELS):
            return self.signed()
        left = self.sum(level + 1)
        while (operator := self.accept(*LEVELS[level])) is not None:
            left = (operator, left, self.sum(level + 1))
        return left

    def signed(self):
        sign = self.accept("-", "+")
        if sign is not None:
            operand = self.signed()
            return ("negate", operand) if sign == "-" else operand
        left = self.operand()
        if self.accept("^") is None:
            return left
        return ("^", left, self.signed())

    def operand(self):
        kind, text = self.peek()
        if kind == "number":
            self.position += 1
            return ("number", int(text))
        if kind == "name":
            self.position += 1
            if self.peek() == ("operator", "("):
                return self.call(text)
            return ("name", text)
        self.expect("(")
        inner = self.sum()
        self.expect(")")
        return inner

    def call(self, name):
        if name not in FUNCTIONS:
            raise ValueError(f"unknown function {name}")
        self.expect("(")
        arguments = [self.sum()]
        while self.accept(",") is not None:
            arguments.append(self.sum())
        self.expect(")")
        most = FUNCTIONS[name][1]
        if most is not None and len(arguments) > most:
            raise ValueError(f"{name} takes {most} argument, got {len(arguments)}")
        return ("call", name, arguments)


def value(tree, variables):
    kind = tree[0]
    if kind == "number":
        return tree[1]
    if kind == "name":
        return variables[tree[1]]
    if kind == "negate":
        return -value(tree[1], variables)
    if kind == "call":
        arguments = [value(argument, variables) for argument in tree[2]]
        return {"min": min, "max": max, "abs": lambda found: abs(found[0])}[tree[1]](arguments)
    left = value(tree[1], variables)
    right = value(tree[2], variables)
    return binary(kind, left, right)


def binary(operator, left, right):
    if operator == "+":
        return left + right
    if operator == "-":
        return left - right
    if operator == "*":
        return left * right
    if operator == "^":
        if right < 0:
            raise ValueError(f"negative exponent {right}")
        return left**right
    quotient = abs(left) // abs(right)
    if (left < 0) != (right < 0):
        quotient = -quotient
    return quotient if operator == "/" else left - quotient * right
