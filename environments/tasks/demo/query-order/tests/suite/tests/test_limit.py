import pytest

from tinyquery import QueryError, query

TABLE = "n\n3\n1\n2\n1\n"


def numbers(rest):
    return [row[0] for row in query(f"select n {rest}", TABLE)[1:]]


def test_limit():
    assert numbers("limit 2") == ["3", "1"]
    assert numbers("LIMIT 0") == []
    assert numbers("limit 99") == ["3", "1", "2", "1"]


def test_offset():
    assert numbers("limit 2 offset 1") == ["1", "2"]
    assert numbers("limit 2 OFFSET 3") == ["1"]
    assert numbers("limit 2 offset 9") == []


def test_everything_together():
    assert numbers("where n in (1, 2, 3) and n < 3 order by n desc limit 2 offset 1") == ["1", "1"]


@pytest.mark.parametrize("rest", ["limit", "limit -1", "limit 1.5", "limit 'a'", "offset 1", "limit 1 limit 2", "limit 1 offset", "limit 1 order by n", "limit 1 offset -1", "limit 1, 2"])
def test_no_limits(rest):
    with pytest.raises(QueryError):
        numbers(rest)


def test_keywords_are_no_columns():
    for word in ["limit", "offset", "order", "by", "asc", "desc", "in"]:
        with pytest.raises(QueryError):
            query(f"select {word}", f"{word}\n1\n")
