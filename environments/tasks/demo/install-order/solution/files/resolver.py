"""In which order to install packages."""

import heapq
import operator
import re

OPERATORS = {
    "==": operator.eq,
    ">=": operator.ge,
    "<=": operator.le,
    ">": operator.gt,
    "<": operator.lt,
    "!=": operator.ne,
}
CLAUSE = re.compile(r"(==|>=|<=|!=|>|<)([0-9.]+)")


def install_order(packages, wanted):
    chosen = closure(packages, wanted)
    check_versions(packages, chosen)
    return ordered(packages, chosen)


def closure(packages, wanted):
    chosen = set()
    waiting = list(wanted)
    while waiting:
        name = waiting.pop()
        if name in chosen:
            continue
        if name not in packages:
            raise KeyError(name)
        chosen.add(name)
        waiting.extend(packages[name]["needs"])
    return chosen


def check_versions(packages, chosen):
    for name in chosen:
        for needed, requirement in packages[name]["needs"].items():
            if not satisfies(packages[needed]["version"], requirement):
                raise ValueError(f"{name} needs {needed} {requirement}, there is {packages[needed]['version']}")


def satisfies(version, requirement):
    if requirement == "*":
        return True
    for clause in requirement.split(","):
        sign, bound = CLAUSE.fullmatch(clause).groups()
        if not OPERATORS[sign](parts(version), parts(bound)):
            return False
    return True


def parts(version):
    numbers = [int(number) for number in version.split(".")]
    while numbers and numbers[-1] == 0:
        numbers.pop()
    return numbers


def ordered(packages, chosen):
    missing = {name: len(packages[name]["needs"]) for name in chosen}
    users = {name: [] for name in chosen}
    for name in chosen:
        for needed in packages[name]["needs"]:
            users[needed].append(name)
    ready = [name for name, amount in missing.items() if amount == 0]
    heapq.heapify(ready)
    order = []
    while ready:
        name = heapq.heappop(ready)
        order.append(name)
        for user in users[name]:
            missing[user] -= 1
            if missing[user] == 0:
                heapq.heappush(ready, user)
    if len(order) < len(chosen):
        raise RecursionError("packages need each other in a circle")
    return order
