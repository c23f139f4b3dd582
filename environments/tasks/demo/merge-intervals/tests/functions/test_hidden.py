from solution import gaps, merge


def raises(call, *args):
    try:
        call(*args)
    except ValueError:
        return True
    return False


def test_nothing_booked():
    assert merge([]) == []
    assert merge([[4, 4], [7, 7]]) == []


def test_contained_interval():
    assert merge([[0, 10], [2, 3], [4, 4], [9, 12]]) == [[0, 12]]


def test_chain_of_touching_intervals():
    assert merge([[4, 5], [2, 3], [3, 4], [1, 2]]) == [[1, 5]]


def test_separate_intervals_stay_apart():
    assert merge([[8, 9], [-5, -2], [0, 3]]) == [[-5, -2], [0, 3], [8, 9]]


def test_empty_interval_does_not_bridge():
    assert merge([[1, 2], [2, 2], [3, 4]]) == [[1, 2], [3, 4]]


def test_reversed_interval_is_refused():
    assert raises(merge, [[1, 2], [5, 4]])
    assert raises(gaps, [[5, 4]], 0, 10)


def test_gaps_of_an_empty_day():
    assert gaps([], 8, 18) == [[8, 18]]
    assert gaps([], 8, 8) == []


def test_gaps_clip_bookings_at_both_ends():
    assert gaps([[0, 9], [17, 30]], 8, 18) == [[9, 17]]
    assert gaps([[0, 2], [20, 30]], 8, 18) == [[8, 18]]


def test_fully_booked():
    assert gaps([[8, 12], [12, 18]], 8, 18) == []
    assert gaps([[0, 100]], 8, 18) == []


def test_opening_after_closing_is_refused():
    assert raises(gaps, [], 9, 8)


def test_gaps_between_many():
    assert gaps([[14, 15], [9, 10], [10, 11], [13, 14]], 9, 16) == [[11, 13], [15, 16]]
