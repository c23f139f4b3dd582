"""python3 -m tinyquery QUERY < TABLE.csv"""

import csv
import sys

from .errors import QueryError
from .run import query


def main(arguments):
    if len(arguments) != 1:
        print("usage: python3 -m tinyquery QUERY < TABLE.csv", file=sys.stderr)
        return 2
    try:
        rows = query(arguments[0], sys.stdin.read())
    except QueryError as error:
        print(error, file=sys.stderr)
        return 1
    csv.writer(sys.stdout, lineterminator="\n").writerows(rows)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
