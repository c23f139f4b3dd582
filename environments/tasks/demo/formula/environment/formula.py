"""Integer formulas: tokens and values."""


def tokens(text):
    raise NotImplementedError


def evaluate(text, variables):
    raise NotImplementedError
