"""Reads football results from standard input and prints the league table."""

import re
import sys

NAME = r"[^\s\d]\S*(?: [^\s\d]\S*)*"
RESULT = re.compile(rf"({NAME}) ([0-9]+)-([0-9]+) ({NAME})")


class Team:
    def __init__(self, name):
        self.name = name
        self.points = self.scored = self.conceded = 0

    def play(self, scored, conceded):
        self.scored += scored
        self.conceded += conceded
        self.points += 3 if scored > conceded else 1 if scored == conceded else 0

    def rank(self):
        return (-self.points, self.conceded - self.scored, -self.scored)


def read(lines):
    teams = {}
    for number, line in enumerate(lines, 1):
        line = line.rstrip("\n")
        if line == "" or line.startswith("#"):
            continue
        match = RESULT.fullmatch(line)
        if match is None or match[1] == match[4]:
            print(f"line {number}: not a result", file=sys.stderr)
            return None
        home, away = (teams.setdefault(name, Team(name)) for name in (match[1], match[4]))
        home.play(int(match[2]), int(match[3]))
        away.play(int(match[3]), int(match[2]))
    return sorted(teams.values(), key=lambda team: (team.rank(), team.name))


def main(arguments):
    top = int(arguments[1]) if arguments[:1] == ["--top"] else None
    table = read(sys.stdin)
    if table is None:
        return 1
    place = 0
    for number, team in enumerate(table, 1):
        if number == 1 or team.rank() != table[number - 2].rank():
            place = number
        if top is None or place <= top:
            print(f"{place} {team.name} {team.points} {team.scored}:{team.conceded} {team.scored - team.conceded:+d}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
