import pytest

from tinyquery import QueryError, query

TABLE = """name,kind,price
apple,fruit,3
basil,herb,2.5
cherry,fruit,10
dill,herb,
"""


def names(source):
    return [row[0] for row in query(source, TABLE)[1:]]


def test_columns():
    assert query("select price, name where kind = 'fruit'", TABLE) == [["price", "name"], ["3", "apple"], ["10", "cherry"]]


def test_all_columns():
    assert query("SELECT * WHERE name = 'dill'", TABLE) == [["name", "kind", "price"], ["dill", "herb", ""]]


def test_numbers_compare_by_value():
    assert names("select name where price > 3") == ["cherry", "dill"]
    assert names("select name where price = 3.0") == ["apple"]


def test_and_or_not():
    assert names("select name where not kind = 'fruit' and price < 3 or name = 'apple'") == ["apple", "basil"]
    assert names("select name where not (kind = 'fruit' or price < 3)") == ["dill"]


@pytest.mark.parametrize("source", ["", "select", "select name where", "select name,", "select name where price", "select name where price = name", "select name where (price = 1", "select name !"])
def test_no_queries(source):
    with pytest.raises(QueryError):
        query(source, TABLE)


@pytest.mark.parametrize("source", ["select colour", "select name where colour = 1"])
def test_unknown_columns(source):
    with pytest.raises(QueryError, match="no column colour"):
        query(source, TABLE)
