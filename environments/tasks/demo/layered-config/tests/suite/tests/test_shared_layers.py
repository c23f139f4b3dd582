from layers import merge, parse, resolve, resolve_each


def test_lists_of_shared_layers_do_not_grow():
    found = resolve_each(["l += 1"], ["l += a", "l += b", "x = y"])
    assert found == [{"l": ["1", "a"]}, {"l": ["1", "b"]}, {"l": ["1"], "x": "y"}]


def test_deep_lists():
    shared = ["t.l += 1", "t.l += 2"]
    own = ["t.l += 3", "t.l = []\nt.l += 4", "t.m += 5"]
    assert resolve_each(shared, own) == [resolve([*shared, text]) for text in own]


def test_merge_changes_no_table():
    tables = [parse("l += 1\nt.l += x"), parse("l += 2\nt.l += y\nt.k = v")]
    merge(tables)
    assert tables == [{"l": ["1"], "t": {"l": ["x"]}}, {"l": ["2"], "t": {"l": ["y"], "k": "v"}}]


def test_result_shares_nothing_with_the_layers():
    tables = [parse("l += 1\nt.l += x")]
    found = merge(tables)
    found["l"].append("new")
    found["t"]["l"].append("new")
    assert tables == [{"l": ["1"], "t": {"l": ["x"]}}]


def test_fresh_lists_in_shared_layers():
    assert resolve_each(["l += 0", "l = []"], ["l += 1", "l += 2"]) == [{"l": ["1"]}, {"l": ["2"]}]
