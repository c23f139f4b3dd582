from solution import is_leap


def test_years_that_four_does_not_divide():
    assert [is_leap(year) for year in (1, 1999, 2001, 2018, 2026)] == [False] * 5


def test_fourth_years():
    assert [is_leap(year) for year in (4, 1904, 1996, 2016, 2028)] == [True] * 5


def test_centuries():
    assert [is_leap(year) for year in (100, 1700, 1800, 2100, 2200)] == [False] * 5


def test_fourth_centuries():
    assert [is_leap(year) for year in (400, 1600, 2400, 4000)] == [True] * 4


def test_answers_are_booleans():
    assert is_leap(2032) is True
    assert is_leap(2033) is False
