import pytest

from layers import resolve, resolve_each


def test_later_layers_override():
    assert resolve(["a = 1\nb.c = 2", "a = 3\nb.d = 4"]) == {"a": "3", "b": {"c": "2", "d": "4"}}


def test_lists_are_appended():
    assert resolve(["a += 1", "a += 2", "b = x"]) == {"a": ["1", "2"], "b": "x"}


def test_fresh_list_replaces():
    assert resolve(["a += 1", "a = []\na += 2"]) == {"a": ["2"]}


def test_references():
    assert resolve(["host = h", "url = http://${host}/$${host}"]) == {"host": "h", "url": "http://h/${host}"}


def test_defaults():
    assert resolve(["a = ${b:-none}", "c = ${d:-${e:-deep}}"]) == {"a": "none", "c": "deep"}


def test_circle():
    with pytest.raises(RecursionError):
        resolve(["a = ${b}", "b = ${a}"])


@pytest.mark.parametrize("text", ["a = ${b}", "a = ${b}\nb.c = 1", "a = ${b}\nb += 1"])
def test_references_to_no_text(text):
    with pytest.raises(LookupError):
        resolve([text])


def test_resolve_each():
    assert resolve_each(["a = 1"], ["b = ${a}", "a = 2\nb = ${a}"]) == [{"a": "1", "b": "1"}, {"a": "2", "b": "2"}]
