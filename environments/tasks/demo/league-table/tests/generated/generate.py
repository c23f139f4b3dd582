import random

TEAMS = ["Red", "Blue Stars", "a", "B", "Old Mill Lane", "X-1", "Zed"]


def line(rng, teams):
    if rng.random() < 0.08:
        return rng.choice(["", "# later", "#"])
    home, away = rng.sample(teams, 2)
    return f"{home} {rng.choice([0, 0, 1, 1, 2, 3, 12])}-{rng.choice([0, 1, 1, 2, 2, 10])} {away}"


def generate(seed, count):
    rng = random.Random(seed)
    inputs = []
    for number in range(count):
        teams = rng.sample(TEAMS, rng.randint(2, len(TEAMS)))
        lines = [line(rng, teams) for _ in range(rng.randint(1, 14))]
        if number % 6 == 5:
            lines.insert(rng.randint(0, len(lines)), rng.choice(["Red 1-1 Red", "Red 1 - 1 Blue Stars", "Red 1-1", " Red 1-0 a"]))
        args = ["--top", str(rng.randint(1, 4))] if number % 4 == 1 else []
        inputs.append({"args": args, "stdin": "\n".join(lines) + "\n"})
    return inputs
