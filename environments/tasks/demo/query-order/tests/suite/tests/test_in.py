import pytest

from tinyquery import QueryError, query

TABLE = "name,kind,price\napple,fruit,3\nbasil,herb,2.5\nfig,fruit,3.0\nrock,,x\n"


def names(condition):
    return [row[0] for row in query(f"select name where {condition}", TABLE)[1:]]


def test_texts():
    assert names("kind in ('herb', 'fish')") == ["basil"]
    assert names("kind IN ('')") == ["rock"]


def test_numbers_compare_by_value():
    assert names("price in (3, 7)") == ["apple", "fig"]
    assert names("price in ('3')") == []


def test_not_in():
    assert names("price not in (3, 'x')") == ["basil"]
    assert names("not price not in (3)") == ["apple", "fig"]


def test_binds_like_a_comparison():
    assert names("kind in ('fruit') and name = 'fig' or price in ('x')") == ["fig", "rock"]
    assert names("not kind in ('fruit') and price in (2.5)") == ["basil"]


@pytest.mark.parametrize("condition", ["kind in ()", "kind in 'a'", "kind in ('a',)", "kind in ('a' 'b')", "kind in (name)", "kind not ('a')", "in in (1)", "kind in (1", "in (1)"])
def test_no_conditions(condition):
    with pytest.raises(QueryError):
        names(condition)


def test_unknown_column_without_rows():
    with pytest.raises(QueryError, match="no column colour"):
        query("select name where colour not in (1)", "name\n")
