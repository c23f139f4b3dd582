"""Command line: balances and statements of a journal on standard input."""

import sys

from .journal import apply
from .money import text


def balances(ledger, refused):
    for name in sorted(ledger.accounts):
        account = ledger.accounts[name]
        if not account.closed:
            print(f"{name} {text(account.balance)}")
    print(f"fees {text(ledger.fees)}")
    for number, reason in refused:
        print(f"line {number} refused: {reason}")


def statement(account):
    balance = 0
    for kind, change in account.history:
        balance += change
        print(f"{text(change)} {kind} = {text(balance)}")


def main(arguments):
    if not (arguments == ["balances"] or (len(arguments) == 2 and arguments[0] == "statement")):
        print("usage: python3 -m bankledger balances | statement NAME", file=sys.stderr)
        return 2
    try:
        ledger, refused = apply(sys.stdin.read().split("\n"))
    except ValueError as error:
        print(error, file=sys.stderr)
        return 1
    if arguments == ["balances"]:
        balances(ledger, refused)
        return 0
    if arguments[1] not in ledger.accounts:
        print(f"{arguments[1]} is unknown", file=sys.stderr)
        return 1
    statement(ledger.accounts[arguments[1]])
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
