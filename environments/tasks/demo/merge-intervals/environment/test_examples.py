from solution import gaps, merge


def test_overlap():
    assert merge([[1, 4], [2, 6]]) == [[1, 6]]


def test_touching():
    assert merge([[3, 5], [1, 3]]) == [[1, 5]]


def test_gap_in_the_middle():
    assert gaps([[9, 10], [12, 13]], 9, 17) == [[10, 12], [13, 17]]


if __name__ == "__main__":
    test_overlap()
    test_touching()
    test_gap_in_the_middle()
    print("all examples pass")
