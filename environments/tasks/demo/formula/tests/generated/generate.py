import random


def operand(rng, depth):
    roll = rng.random()
    if depth == 0 or roll < 0.4:
        return str(rng.choice([0, 1, 2, 3, 5, 7, 12])) if rng.random() < 0.65 else rng.choice(["a", "b", "abs", "no" if rng.random() < 0.1 else "b"])
    if roll < 0.6:
        return "(" + formula(rng, depth - 1) + ")"
    if roll < 0.75:
        name = rng.choice(["min", "max", "abs"])
        amount = 1 if name == "abs" else rng.randint(1, 3)
        return name + "(" + ", ".join(formula(rng, depth - 1) for _ in range(amount)) + ")"
    return rng.choice(["-", "- ", "+", "--"]) + operand(rng, depth - 1)


def formula(rng, depth):
    text = operand(rng, depth)
    for _ in range(rng.choice([0, 1, 1, 2])):
        if rng.random() < 0.12:
            text += rng.choice(["^", " ^ "]) + rng.choice(["0", "1", "2", "3", "-1" if rng.random() < 0.3 else "2"])
        else:
            text += rng.choice([" + ", "-", " * ", "/", " % ", " - "]) + operand(rng, depth)
    return text


def broken(rng, text):
    cut = rng.randint(0, len(text))
    return text[:cut] + rng.choice([")", "(", "1 2", "*", ",", "$", ""]) + text[cut + 1 :]


def generate(seed, count):
    rng = random.Random(seed)
    inputs = []
    while len(inputs) < count:
        text = formula(rng, 2)
        if len(inputs) % 7 == 3:
            text = broken(rng, text)
        if text.count("^") > 2:
            continue
        if len(inputs) % 5 == 4:
            inputs.append({"function": "tokens", "args": [text]})
        else:
            inputs.append({"function": "evaluate", "args": [text, {"a": rng.randint(-9, 9), "b": rng.randint(1, 20), "abs": 4}]})
    return inputs
