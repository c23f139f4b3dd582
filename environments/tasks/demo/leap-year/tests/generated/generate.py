import random


def generate(seed, count):
    rng = random.Random(seed)
    makers = [
        lambda: rng.randint(1, 9999),
        lambda: 4 * rng.randint(1, 2499),
        lambda: 100 * rng.randint(1, 99),
        lambda: 400 * rng.randint(1, 24),
    ]
    return [{"function": "is_leap", "args": [makers[number % 4]()]} for number in range(count)]
