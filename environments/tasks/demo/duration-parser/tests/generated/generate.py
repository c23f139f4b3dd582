import random

SIZES = {"d": 400, "h": 30, "m": 75, "s": 75}


def text(rng):
    units = [unit for unit in "dhms" if rng.random() < 0.55] or ["m"]
    if rng.random() < 0.12:
        rng.shuffle(units)
    parts = []
    for unit in units:
        number = rng.randint(0, SIZES[unit] if rng.random() < 0.15 else 23)
        parts.append(("0" if rng.random() < 0.04 else "") + f"{number}{unit}")
    joined = rng.choice(["", " ", "", "  "]).join(parts)
    if rng.random() < 0.12:
        cut = rng.randint(0, len(joined))
        joined = joined[:cut] + rng.choice(["-", ".5", "x", "\t", " ", "M"]) + joined[cut:]
    return rng.choice(["", "", " "]) + joined + rng.choice(["", "", "  "])


def generate(seed, count):
    rng = random.Random(seed)
    inputs = []
    for number in range(count):
        if number % 4 == 3:
            top = rng.choice([70, 4000, 100000, 10**8])
            inputs.append({"function": "format_duration", "args": [rng.randint(-1 if top == 70 else 0, top)]})
        else:
            inputs.append({"function": "parse_duration", "args": [text(rng)]})
    return inputs
