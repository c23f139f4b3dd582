import pytest

from bankledger.journal import replay

HEAD = ["open ada", "open bob", "deposit ada 10.00"]


def test_replay():
    assert replay([*HEAD, "", "# comment", "transfer ada bob 4"]) == {
        "balances": {"ada": "5.95", "bob": "4.00"},
        "histories": {
            "ada": [["deposit", "10.00"], ["to bob", "-4.00"], ["fee", "-0.05"]],
            "bob": [["from ada", "4.00"]],
        },
        "fees": "0.05",
        "refused": [],
    }


def test_refused_lines_are_listed_and_leave_no_trace():
    found = replay([*HEAD, "transfer ada bob 9.96", "transfer ada eve 1", "close ada"])
    assert found["refused"] == [[4, "ada does not have enough"], [5, "eve is unknown"], [6, "ada is not empty"]]
    assert found["balances"] == {"ada": "10.00", "bob": "0.00"}
    assert found["histories"]["ada"] == [["deposit", "10.00"]]
    assert found["fees"] == "0.00"


@pytest.mark.parametrize("line", ["give ada 1", "open", "deposit ada", "deposit ada 0", "open ada bob"])
def test_lines_that_are_no_booking(line):
    with pytest.raises(ValueError):
        replay([line])
