"""Reads football results from standard input and prints the league table."""

import sys


def main(arguments):
    raise NotImplementedError


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
