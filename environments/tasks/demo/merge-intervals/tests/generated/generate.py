import random


def interval(rng, reversed_share):
    start = rng.randint(-12, 24)
    length = rng.choice([0, 1, 1, 2, 3, 5, 9])
    if rng.random() < reversed_share:
        return [start, start - rng.randint(1, 4)]
    return [start, start + length]


def generate(seed, count):
    rng = random.Random(seed)
    inputs = []
    for number in range(count):
        share = 0.1 if number % 6 == 0 else 0
        intervals = [interval(rng, share) for _ in range(rng.randint(0, 9))]
        if number % 2 == 0:
            inputs.append({"function": "merge", "args": [intervals]})
        else:
            opening = rng.randint(-6, 10)
            closing = opening + rng.choice([0, 4, 9, 14, -1 if number % 5 == 0 else 12])
            inputs.append({"function": "gaps", "args": [intervals, opening, closing]})
    return inputs
