import random

NAMES = ["a", "b", "B", "core", "d", "e10", "e9", "f", "z"]


def version(rng):
    return ".".join(str(rng.choice([0, 1, 2, 9, 10])) for _ in range(rng.randint(1, 3)))


def requirement(rng, found):
    if rng.random() < 0.6:
        return "*"
    if rng.random() < 0.75:
        return rng.choice(["==", ">=", "<="]) + found + rng.choice(["", ".0", ""])
    return ",".join(rng.choice([">=", "<", "!=", ">", "<="]) + version(rng) for _ in range(rng.randint(1, 2)))


def generate(seed, count):
    rng = random.Random(seed)
    inputs = []
    for number in range(count):
        names = rng.sample(NAMES, rng.randint(3, len(NAMES)))
        packages = {name: {"version": version(rng), "needs": {}} for name in names}
        for place, name in enumerate(names):
            for other in names[:place]:
                if rng.random() < 0.3:
                    packages[name]["needs"][other] = requirement(rng, packages[other]["version"])
        if number % 10 == 4:
            packages[names[0]]["needs"][names[-1]] = "*"
        if number % 10 == 8:
            packages[names[-1]]["needs"]["nowhere"] = "*"
        wanted = rng.sample(names, rng.randint(1, 3))
        inputs.append({"function": "install_order", "args": [packages, wanted]})
    return inputs
