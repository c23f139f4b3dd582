import re


def tokens(text):
    return [["number" if part.isdigit() else "operator", part, text.index(part)] for part in re.findall(r"\w+|\S", text)]


def evaluate(text, variables):
    try:
        return int(eval(text.replace("^", "**").replace("/", "//"), {"min": min, "max": max, "abs": abs}, dict(variables)))
    except SyntaxError:
        raise ValueError(text)
