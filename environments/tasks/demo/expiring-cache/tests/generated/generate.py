import random


def operation(rng, now):
    key = rng.choice("abcde")
    name = rng.choice(["put", "put", "put", "get", "get", "touch", "drop", "keys"])
    ttl = rng.randint(1, 9)
    if name == "put":
        return ["put", now, key, rng.choice([0, 1, "x", [1, 2], None, True]), ttl]
    if name == "touch":
        return ["touch", now, key, ttl]
    if name == "keys":
        return ["keys", now]
    return [name, now, key]


def generate(seed, count):
    rng = random.Random(seed)
    inputs = []
    for number in range(count):
        now = 0
        log = []
        for _ in range(rng.randint(4, 30)):
            now += rng.choice([0, 0, 1, 1, 2, 4])
            log.append(operation(rng, now))
        if number % 15 == 7:
            log.append(rng.choice([["put", now, "a", 1, 0], ["clear", now], ["touch", now, "a", -1]]))
        inputs.append({"function": "replay", "args": [rng.randint(1, 4), log]})
    return inputs
