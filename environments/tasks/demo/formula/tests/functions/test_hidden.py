from formula import evaluate, tokens


def error_of(text, variables=None):
    try:
        evaluate(text, variables or {})
    except ZeroDivisionError:
        return "ZeroDivisionError"
    except KeyError:
        return "KeyError"
    except ValueError:
        return "ValueError"
    return None


def test_tokens():
    assert tokens("") == []
    assert tokens("a1+ 23") == [["name", "a1", 0], ["operator", "+", 2], ["number", "23", 4]]
    assert tokens("\tmax(x,_y)") == [
        ["name", "max", 1],
        ["operator", "(", 4],
        ["name", "x", 5],
        ["operator", ",", 6],
        ["name", "_y", 7],
        ["operator", ")", 9],
    ]
    assert tokens("12ab") == [["number", "12", 0], ["name", "ab", 2]]


def test_tokens_refuse_other_characters():
    for text in ["1.5", "a = 2", "2 ** 3 !", "\n", "é", "\u0663"]:
        try:
            tokens(text)
        except ValueError:
            continue
        assert False, text


def test_precedence():
    assert evaluate("1 + 2 * 3", {}) == 7
    assert evaluate("(1 + 2) * 3", {}) == 9
    assert evaluate("10 - 4 - 3", {}) == 3
    assert evaluate("2 * 3 % 4", {}) == 2
    assert evaluate("100 / 10 / 5", {}) == 2


def test_power_groups_to_the_right():
    assert evaluate("2 ^ 3 ^ 2", {}) == 512
    assert evaluate("2 * 3 ^ 2", {}) == 18


def test_signs():
    assert evaluate("-2 ^ 2", {}) == -4
    assert evaluate("(-2) ^ 2", {}) == 4
    assert evaluate("3 * -2", {}) == -6
    assert evaluate("--+-5", {}) == -5
    assert evaluate("2 - -2", {}) == 4
    assert evaluate("2 ^ +3", {}) == 8
    assert evaluate("2 ^ --2 ^ 1", {}) == 4


def test_division_cuts_towards_zero():
    assert evaluate("7 / 2", {}) == 3
    assert evaluate("7 / -2", {}) == -3
    assert evaluate("-7 / 2", {}) == -3
    assert evaluate("-7 % 2", {}) == -1
    assert evaluate("7 % -2", {}) == 1
    assert evaluate("123456789012345678901 / 10", {}) == 12345678901234567890


def test_variables_and_functions():
    assert evaluate("a * b + a", {"a": 3, "b": -4}) == -9
    assert evaluate("max(1, a, 2 * 2) - min(b)", {"a": 3, "b": -4}) == 8
    assert evaluate("abs(-3) + abs(abs(2))", {}) == 5
    assert evaluate("min + max", {"min": 1, "max": 2}) == 3


def test_run_time_errors():
    assert error_of("1 / 0") == "ZeroDivisionError"
    assert error_of("1 % (2 - 2)") == "ZeroDivisionError"
    assert error_of("2 ^ -1") == "ValueError"
    assert error_of("x + 1") == "KeyError"


def test_first_run_time_error_wins():
    assert error_of("1 / 0 + x") == "ZeroDivisionError"
    assert error_of("x + 1 / 0") == "KeyError"
    assert error_of("max(2 ^ -1, x)") == "ValueError"


def test_grammar_errors():
    for text in ["", "  ", "1 +", "* 2", "(1", "1)", "()", "2 x", "2(3)", "(1)(2)", "min()", "abs(1, 2)", "f(1)", "1,2", "max(1,)", "1 2"]:
        assert error_of(text, {"x": 1}) == "ValueError", text


def test_grammar_errors_come_first():
    assert error_of("1 / 0 )") == "ValueError"
    assert error_of("x + abs(1, 2)") == "ValueError"
