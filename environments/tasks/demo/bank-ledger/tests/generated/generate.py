import random

NAMES = ["ada", "bob", "cyd"]


def booking(rng):
    kind = rng.choice(["deposit", "deposit", "withdraw", "transfer", "transfer", "transfer", "transfer", "refund", "close", "open"])
    names = rng.sample([*NAMES, "eve"], 2) if rng.random() < 0.95 else ["ada", "ada"]
    amount = f"{rng.choice([0, 1, 2, 5, 9, 10, 600])}.{rng.choice([1, 5, 50, 90, 95, 96, 99]):02d}"
    if kind == "transfer":
        return f"transfer {names[0]} {names[1]} {amount}"
    if kind in ("deposit", "withdraw"):
        return f"{kind} {names[0]} {amount}"
    return f"{kind} {names[0]}"


def generate(seed, count):
    rng = random.Random(seed)
    inputs = []
    for number in range(count):
        lines = [f"open {name}" for name in NAMES]
        lines += [f"deposit {name} {rng.choice(['1', '5.00', '10'])}" for name in NAMES if rng.random() < 0.8]
        if number % 3 == 0:
            lines += ["open shut", "close shut"]
        lines += [booking(rng) for _ in range(rng.randint(2, 14))]
        if number % 3 == 0:
            lines.insert(len(lines) - 1, f"transfer {rng.choice(NAMES)} shut 0.5{rng.randint(0, 9)}")
        if number % 20 == 19:
            lines.append(rng.choice(["deposit ada -1", "audit", "close"]))
        inputs.append({"function": "replay", "args": [lines]})
    return inputs
