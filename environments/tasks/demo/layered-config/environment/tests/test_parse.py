import pytest

from layers import parse


def test_keys_with_dots():
    assert parse("a.b = 1\na.c=2\n\n# comment\nd = x = y") == {"a": {"b": "1", "c": "2"}, "d": "x = y"}


def test_lists():
    assert parse("a += 1\na += 2") == {"a": ["1", "2"]}
    assert parse("a = 1\na += 2") == {"a": ["2"]}
    assert parse("a = []") == {"a": []}


def test_setting_replaces():
    assert parse("a.b = 1\na = 2") == {"a": "2"}
    assert parse("a = 2\na.b = 1") == {"a": {"b": "1"}}


@pytest.mark.parametrize("text", ["nothing", "= 1", "A = 1", "a..b = 1", "a b = 1", "a - = 1"])
def test_wrong_lines(text):
    with pytest.raises(ValueError, match="line 1"):
        parse(text)
