import copy

import pytest

from bankledger import Ledger, Refused


def state(ledger):
    return copy.deepcopy((ledger.fees, {name: vars(account) for name, account in ledger.accounts.items()}))


@pytest.fixture
def ledger():
    ledger = Ledger()
    for name in ["ada", "bob", "gone"]:
        ledger.open(name)
    ledger.close("gone")
    ledger.deposit("ada", 1000)
    return ledger


@pytest.mark.parametrize(
    ("source", "target", "amount", "reason"),
    [
        ("ada", "bob", 1000, "ada does not have enough"),
        ("ada", "bob", 996, "ada does not have enough"),
        ("ada", "bob", 5000, "ada does not have enough"),
        ("ada", "gone", 100, "gone is closed"),
        ("ada", "eve", 100, "eve is unknown"),
        ("eve", "ada", 100, "eve is unknown"),
        ("gone", "ada", 100, "gone is closed"),
        ("ada", "ada", 100, "the same"),
    ],
)
def test_refused_transfer_changes_nothing(ledger, source, target, amount, reason):
    before = state(ledger)
    with pytest.raises(Refused, match=reason):
        ledger.transfer(source, target, amount)
    assert state(ledger) == before


def test_last_cent_can_pay_the_fee(ledger):
    ledger.transfer("ada", "bob", 990)
    assert ledger.account("ada").balance == 0
    assert ledger.account("ada").history == [("deposit", 1000), ("to bob", -990), ("fee", -10)]


def test_refused_refund_changes_nothing(ledger):
    ledger.transfer("ada", "bob", 500)
    ledger.withdraw("ada", 495)
    ledger.close("ada")
    before = state(ledger)
    with pytest.raises(Refused, match="ada is closed"):
        ledger.refund("ada")
    assert state(ledger) == before


def test_fees_of_a_refused_transfer_cannot_be_refunded(ledger):
    with pytest.raises(Refused):
        ledger.transfer("ada", "gone", 500)
    with pytest.raises(Refused, match="no fees"):
        ledger.refund("ada")
