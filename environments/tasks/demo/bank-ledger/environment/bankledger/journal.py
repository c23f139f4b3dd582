"""Journals: one booking per line of text."""

from .ledger import Ledger, Refused
from .money import cents, text

# Name of the booking -> number of names, whether an amount follows.
FORMS = {
    "open": (1, False),
    "close": (1, False),
    "deposit": (1, True),
    "withdraw": (1, True),
    "transfer": (2, True),
    "refund": (1, False),
}


def parse(line):
    """The booking's name and its arguments."""
    kind, *rest = line.split()
    if kind not in FORMS:
        raise ValueError(f"unknown booking {kind!r}")
    names, has_amount = FORMS[kind]
    if len(rest) != names + has_amount:
        raise ValueError(f"wrong number of words in {line!r}")
    if has_amount:
        rest[-1] = cents(rest[-1])
    return kind, rest


def apply(lines):
    """The ledger after all lines, and the refused ones as (number, reason). Empty lines and comments are skipped."""
    ledger = Ledger()
    refused = []
    for number, line in enumerate(lines, 1):
        if line.strip() == "" or line.lstrip().startswith("#"):
            continue
        kind, arguments = parse(line)
        try:
            getattr(ledger, kind)(*arguments)
        except Refused as reason:
            refused.append((number, str(reason)))
    return ledger, refused


def replay(lines):
    """Plain data of a replayed journal: balances and histories by name, fees, refused lines."""
    ledger, refused = apply(lines)
    return {
        "balances": {name: text(account.balance) for name, account in ledger.accounts.items() if not account.closed},
        "histories": {name: [[kind, text(change)] for kind, change in account.history] for name, account in ledger.accounts.items()},
        "fees": text(ledger.fees),
        "refused": [[number, reason] for number, reason in refused],
    }
