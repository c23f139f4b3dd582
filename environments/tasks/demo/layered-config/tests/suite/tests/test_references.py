import pytest

from layers import expand, resolve


def test_same_key_twice_in_one_value():
    assert resolve(["host = h\nurl = ${host}/${host}"])["url"] == "h/h"


def test_same_key_from_two_values():
    assert resolve(["host = h\na = ${host}\nb = ${host}"]) == {"host": "h", "a": "h", "b": "h"}


def test_diamond():
    assert resolve(["a = ${b}${c}\nb = b${d}\nc = c${d}\nd = !"])["a"] == "b!c!"


def test_same_key_in_list_items_and_defaults():
    text = "d = 1\nl += ${d}\nl += ${d}\nx = ${no:-${d}${d}}\ny = ${d:-${y}}"
    assert resolve([text]) == {"d": "1", "l": ["1", "1"], "x": "11", "y": "1"}


@pytest.mark.parametrize("text", ["a = ${a}", "a = ${b}\nb = ${c}\nc = x${b}", "a = ${no:-${a}}", "t.a = ${t.b}\nt.b = ${t.a}"])
def test_real_circles(text):
    with pytest.raises(RecursionError):
        resolve([text])


def test_list_item_may_not_reach_a_circle():
    with pytest.raises(RecursionError):
        resolve(["l += ${a}\na = ${b}\nb = ${a}"])


def test_what_a_reference_brings_is_expanded_in_its_place():
    assert resolve(["a = $${x}\nb = ${a}"]) == {"a": "${x}", "b": "${x}"}


def test_expand_leaves_the_table_alone():
    table = {"a": "1", "b": ["${a}"]}
    assert expand(table) == {"a": "1", "b": ["1"]}
    assert table == {"a": "1", "b": ["${a}"]}
