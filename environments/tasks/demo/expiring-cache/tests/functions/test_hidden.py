from cache import replay


def refused(capacity, operations):
    try:
        replay(capacity, operations)
    except ValueError:
        return True
    return False


def test_no_operations():
    assert replay(3, []) == []


def test_put_and_get():
    assert replay(2, [["put", 0, "a", 1, 10], ["get", 9, "a"], ["get", 10, "a"]]) == [None, 1, None]


def test_eviction_takes_the_least_recently_used():
    log = [["put", 0, "a", 1, 99], ["put", 1, "b", 2, 99], ["get", 2, "a"], ["put", 3, "c", 3, 99], ["keys", 4]]
    assert replay(2, log)[-1] == ["c", "a"]


def test_missing_get_uses_nothing():
    log = [["put", 0, "a", 1, 99], ["put", 0, "b", 2, 99], ["get", 1, "x"], ["put", 2, "c", 3, 99], ["keys", 3]]
    assert replay(2, log)[-1] == ["c", "b"]


def test_all_expired_go_before_any_live_one():
    log = [
        ["put", 0, "old", 1, 2],
        ["put", 0, "older", 2, 1],
        ["put", 0, "live", 3, 50],
        ["put", 5, "new", 4, 50],
        ["put", 5, "newer", 5, 50],
        ["keys", 6],
    ]
    assert replay(3, log)[-1] == ["newer", "new", "live"]


def test_expired_entries_take_up_room():
    log = [
        ["put", 0, "a", 1, 1],
        ["put", 0, "b", 2, 50],
        ["keys", 3],
        ["put", 3, "c", 3, 50],
        ["put", 4, "d", 4, 50],
        ["keys", 5],
    ]
    assert replay(2, log) == [None, None, ["b"], None, None, ["d", "c"]]


def test_get_of_an_expired_key_frees_its_room():
    log = [["put", 0, "a", 1, 1], ["put", 0, "b", 2, 9], ["get", 3, "a"], ["put", 3, "c", 3, 9], ["keys", 4]]
    assert replay(2, log) == [None, None, None, None, ["c", "b"]]


def test_replacing_needs_no_room():
    log = [["put", 0, "a", 1, 9], ["put", 0, "b", 2, 9], ["put", 1, "a", 3, 1], ["keys", 1], ["get", 2, "a"]]
    assert replay(2, log) == [None, None, None, ["a", "b"], None]


def test_touch():
    log = [
        ["put", 0, "a", 1, 5],
        ["put", 0, "b", 2, 5],
        ["touch", 4, "a", 10],
        ["keys", 4],
        ["keys", 13],
        ["touch", 14, "a", 3],
        ["touch", 14, "z", 3],
    ]
    assert replay(2, log) == [None, None, True, ["a", "b"], ["a"], False, False]


def test_drop_tells_whether_it_was_live():
    log = [["put", 0, "a", 1, 5], ["drop", 1, "a"], ["drop", 1, "a"], ["put", 2, "b", 1, 1], ["drop", 3, "b"], ["keys", 3]]
    assert replay(2, log) == [None, True, False, None, False, []]


def test_values_may_be_falsy():
    log = [["put", 0, "a", 0, 5], ["get", 1, "a"], ["put", 1, "b", "", 5], ["get", 1, "b"], ["put", 1, 7, False, 5], ["get", 1, 7]]
    assert replay(5, log) == [None, 0, None, "", None, False]


def test_wrong_arguments_are_refused():
    assert refused(0, [])
    assert refused(2, [["put", 0, "a", 1, 0]])
    assert refused(2, [["touch", 0, "a", 0]])
    assert refused(2, [["peek", 0, "a"]])
