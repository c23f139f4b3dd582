from program import run


def table(text, *args):
    result = run(args=list(args), stdin=text)
    assert result.exit_code == 0, result.stderr
    return result.stdout.splitlines()


def test_one_match():
    assert table("Red 0-2 Blue\n") == ["1 Blue 3 2:0 +2", "2 Red 0 0:2 -2"]


def test_same_fixture_twice_adds_up():
    assert table("Red 0-2 Blue\nRed 1-1 Blue\nBlue 0-5 Red\n") == ["1 Red 4 6:3 +3", "2 Blue 4 3:6 -3"]


def test_points_before_difference():
    assert [line.split()[1] for line in table("A 1-0 B\nA 1-0 B\nC 9-0 D\n")] == ["A", "C", "B", "D"]


def test_names_break_the_last_tie_but_share_the_place():
    assert [line.split()[:2] for line in table("b 1-1 a\nC 1-1 d\n")] == [["1", "C"], ["1", "a"], ["1", "b"], ["1", "d"]]


def test_place_after_a_shared_one():
    assert [line.split()[0] for line in table("A 2-0 B\nC 2-0 D\nE 0-0 F\n")] == ["1", "1", "3", "3", "5", "5"]


def test_top_leaves_out_the_rest():
    text = "A 2-0 B\nC 2-0 D\nE 0-0 F\n"
    assert len(table(text, "--top", "1")) == 2
    assert len(table(text, "--top", "2")) == 2
    assert len(table(text, "--top", "3")) == 4
    assert len(table(text, "--top", "99")) == 6


def test_wrong_line_is_named():
    for text, number in [("nonsense\n", 1), ("# x\n\nA 1-0 B\nA - B\n", 4), ("A 1-0 B \n", 1), ("A 1-0 2nd Team\n", 1), ("A -1-0 B\n", 1)]:
        result = run(stdin=text)
        assert result.exit_code == 1
        assert result.stdout == ""
        assert f"line {number}: not a result" in result.stderr


def test_large_scores():
    assert table("A 100-99 B\n") == ["1 A 3 100:99 +1", "2 B 0 99:100 -1"]
