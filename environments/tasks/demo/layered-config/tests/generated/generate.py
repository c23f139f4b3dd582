import random

KEYS = ["a", "b", "c", "t.a", "t.b", "t", "l", "t.l", "d"]


def value(rng):
    parts = []
    for _ in range(rng.randint(1, 3)):
        roll = rng.random()
        key = rng.choice(KEYS)
        if roll < 0.45:
            parts.append(rng.choice(["x", "1", " y", "$", "$${a}"]))
        elif roll < 0.75:
            parts.append("${" + key + ":-" + rng.choice(["none", "${d:-deep}", ""]) + "}")
        else:
            parts.append("${" + key + "}")
    return "".join(parts)


def layer(rng, references):
    lines = []
    for _ in range(rng.randint(1, 5)):
        if rng.random() < 0.3:
            lines.append(rng.choice(["l += ", "t.l += ", "a += "]) + rng.choice(["1", "2", "${d:-0}"]))
        elif rng.random() < 0.1:
            lines.append(rng.choice(["l = []", "t.l = []", "# nothing", ""]))
        else:
            lines.append(rng.choice(KEYS) + " = " + (value(rng) if references else rng.choice(["x", "y", "${d:-z}${d:-z}"])))
    return "\n".join(lines)


def generate(seed, count):
    rng = random.Random(seed)
    inputs = []
    for number in range(count):
        base = "d = v\n" + layer(rng, number % 2 == 0)
        layers = [base, *(layer(rng, number % 2 == 0) for _ in range(rng.randint(0, 2)))]
        if number % 25 == 24:
            layers.append("not a line")
        if number % 3 == 2:
            inputs.append({"function": "resolve_each", "args": [layers, [layer(rng, False) for _ in range(3)]]})
        else:
            inputs.append({"function": "resolve", "args": [layers]})
    return inputs
