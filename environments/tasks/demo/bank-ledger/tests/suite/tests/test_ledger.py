import pytest

from bankledger import Ledger, Refused


@pytest.fixture
def ledger():
    ledger = Ledger()
    ledger.open("ada")
    ledger.open("bob")
    ledger.deposit("ada", 10000)
    return ledger


def test_transfer_moves_the_amount_and_takes_the_fee(ledger):
    ledger.transfer("ada", "bob", 2000)
    assert ledger.account("ada").balance == 7980
    assert ledger.account("bob").balance == 2000
    assert ledger.fees == 20


def test_refund_gives_fees_back(ledger):
    ledger.transfer("ada", "bob", 2000)
    ledger.transfer("ada", "bob", 100)
    ledger.refund("ada")
    assert ledger.account("ada").balance == 7900
    assert ledger.fees == 0


def test_withdrawal_beyond_the_balance_is_refused(ledger):
    with pytest.raises(Refused, match="bob does not have enough"):
        ledger.withdraw("bob", 1)
    assert ledger.account("bob").history == []


def test_only_empty_accounts_close(ledger):
    with pytest.raises(Refused, match="not empty"):
        ledger.close("ada")
    ledger.close("bob")
    with pytest.raises(Refused, match="bob is closed"):
        ledger.deposit("bob", 5)


def test_unknown_account(ledger):
    with pytest.raises(Refused, match="eve is unknown"):
        ledger.deposit("eve", 1)
