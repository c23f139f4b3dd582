import pytest

from bankledger import cents, text
from bankledger.fees import transfer_fee


@pytest.mark.parametrize(("amount", "expected"), [("12.50", 1250), ("12", 1200), ("0.05", 5)])
def test_cents(amount, expected):
    assert cents(amount) == expected


@pytest.mark.parametrize("amount", ["", "0", "0.00", "-1", "1.5", "1,50", "1.500"])
def test_wrong_amounts(amount):
    with pytest.raises(ValueError):
        cents(amount)


def test_text():
    assert text(1250) == "12.50"
    assert text(-5) == "-0.05"
    assert text(0) == "0.00"


@pytest.mark.parametrize(("amount", "fee"), [(1, 5), (500, 5), (501, 6), (1000, 10), (60000, 500)])
def test_fee(amount, fee):
    assert transfer_fee(amount) == fee
