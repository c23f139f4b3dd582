from resolver import install_order


def package(version="1.0", **needs):
    return {"version": version, "needs": needs}


def error_of(packages, wanted):
    try:
        install_order(packages, wanted)
    except KeyError:
        return "KeyError"
    except ValueError:
        return "ValueError"
    except RecursionError:
        return "RecursionError"
    return None


def holds(version, requirement):
    return error_of({"a": package(b=requirement), "b": package(version)}, ["a"]) is None


def test_nothing_wanted():
    assert install_order({"a": package()}, []) == []


def test_only_what_is_wanted():
    packages = {"app": package(lib="*"), "lib": package(), "other": package(lib="*")}
    assert install_order(packages, ["app"]) == ["lib", "app"]
    assert install_order(packages, ["app", "lib", "app"]) == ["lib", "app"]


def test_ties_go_by_name():
    packages = {"z": package(), "m": package(), "a": package(z="*"), "b": package(m="*"), "B": package()}
    assert install_order(packages, ["b", "a", "z", "B"]) == ["B", "m", "b", "z", "a"]


def test_smallest_name_that_is_ready():
    packages = {"a": package(c="*"), "b": package(), "c": package(d="*"), "d": package()}
    assert install_order(packages, ["a", "b"]) == ["b", "d", "c", "a"]


def test_diamond():
    packages = {"top": package(left="*", right="*"), "left": package(base="*"), "right": package(base="*"), "base": package()}
    assert install_order(packages, ["top"]) == ["base", "left", "right", "top"]


def test_versions_compare_by_number():
    assert holds("1.10", ">1.9")
    assert not holds("1.9", ">=1.10")
    assert holds("2.0.1", ">2")


def test_missing_numbers_are_zero():
    assert holds("1.2", "==1.2.0")
    assert holds("1.2.0.0", "<=1.2")
    assert not holds("1.2", "!=1.2.0")
    assert not holds("1.2.0", ">1.2")


def test_all_clauses_must_hold():
    assert holds("1.5", ">=1.2,<2,!=1.4")
    assert not holds("1.4", ">=1.2,<2,!=1.4")
    assert not holds("2", ">=1.2,<2")


def test_unknown_packages():
    assert error_of({}, ["a"]) == "KeyError"
    assert error_of({"a": package(b="*")}, ["a"]) == "KeyError"
    assert error_of({"a": package(), "c": package(d="*")}, ["a"]) is None


def test_cycles():
    assert error_of({"a": package(b="*"), "b": package(a="*")}, ["a"]) == "RecursionError"
    assert error_of({"a": package(a="*")}, ["a"]) == "RecursionError"


def test_order_of_errors():
    loop = {"a": package(b=">2"), "b": package(a="*")}
    assert error_of(loop, ["a"]) == "ValueError"
    assert error_of({**loop, "c": package(x="*")}, ["a", "c"]) == "KeyError"


def test_long_chain():
    packages = {f"p{number:05}": package(**{f"p{number + 1:05}": "*"}) for number in range(4000)}
    packages["p04000"] = package()
    assert install_order(packages, ["p00000"]) == sorted(packages, reverse=True)
