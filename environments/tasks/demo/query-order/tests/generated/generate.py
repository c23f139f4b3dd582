import random

COLUMNS = ["a", "b", "c"]
CELLS = ["1", "2", "2.0", "10", "-3", "x", "X", "y z", "", "", "it's"]
LITERALS = ["1", "2", "10", "-3", "'x'", "'2'", "''", "'it''s'"]


def condition(rng, depth=1):
    roll = rng.random()
    column = rng.choice(COLUMNS)
    if depth and roll < 0.35:
        return f"{condition(rng, 0)} {rng.choice(['and', 'or'])} {condition(rng, 0)}"
    if roll < 0.75:
        values = ", ".join(rng.choice(LITERALS) for _ in range(rng.randint(1, 3)))
        return f"{column} {rng.choice(['in', 'not in', 'IN'])} ({values})"
    return f"{rng.choice(['', 'not '])}{column} {rng.choice(['=', '<', '>=', '!='])} {rng.choice(LITERALS)}"


def generate(seed, count):
    rng = random.Random(seed)
    inputs = []
    for number in range(count):
        rows = [",".join(rng.choice(CELLS) for _ in COLUMNS) for _ in range(rng.randint(0, 9))]
        source = "select " + rng.choice(["*", "a", "b, a"])
        if rng.random() < 0.6:
            source += " where " + condition(rng)
        if rng.random() < 0.8:
            columns = rng.sample(COLUMNS, rng.randint(1, 2))
            source += " order by " + ", ".join(column + rng.choice(["", " asc", " desc", " DESC"]) for column in columns)
        if rng.random() < 0.5:
            source += f" limit {rng.randint(0, 5)}" + rng.choice(["", f" offset {rng.randint(0, 3)}"])
        if number % 12 == 11:
            source += rng.choice([" limit", " order by d", " desc", " limit 1 limit 1", ")"])
        inputs.append({"function": "query", "args": [source, "\n".join(["a,b,c", *rows]) + "\n"]})
    return inputs
