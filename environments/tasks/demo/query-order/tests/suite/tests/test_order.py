import pytest

from tinyquery import QueryError, query

TABLE = "name,kind,price\na,x,10\nb,y,9\nc,x,\nd,y,abc\ne,x,9.0\nf,,-1\n"


def names(rest):
    return "".join(row[0] for row in query(f"select name {rest}", TABLE)[1:])


def test_numbers_before_texts_and_empty_last():
    assert names("order by price") == "fbeadc"
    assert names("order by price asc") == "fbeadc"


def test_descending_keeps_empty_last_and_equal_rows_in_place():
    assert names("order by price desc") == "dabefc"
    assert names("ORDER BY kind DESC") == "bdacef"


def test_several_columns():
    assert names("order by kind, price desc") == "aecdbf"
    assert names("order by kind desc, name desc") == "dbecaf"


def test_after_a_condition_and_with_unselected_columns():
    assert query("select kind where price < 100 order by name desc", TABLE) == [["kind"], [""], ["x"], ["y"], ["x"]]
    assert names("where price < 100 order by name desc") == "feba"


@pytest.mark.parametrize("rest", ["order name", "order by", "order by name,", "order by price desc asc", "order by 1", "order by name where price = 1", "order by order", "by name"])
def test_no_orders(rest):
    with pytest.raises(QueryError):
        names(rest)


def test_unknown_column_without_rows():
    with pytest.raises(QueryError, match="no column colour"):
        query("select name order by colour", "name\n")
