# Runs a repository's test suite with pytest inside the subject sandbox, in the attempt's own process. Every test body runs
# several times under names drawn outside; after a body the worker decides whether that run is to pass or to fail, and only
# the worker knows which run stands for the test itself, for its inverted twin or for a calibration. Bodies of some runs are
# copies whose assertion cannot hold. This program reports; it decides nothing.


def _drive():
    import os
    import sys

    replies = os.fdopen(os.dup(0), "rb")
    channel = os.dup(3)
    os.close(3)
    null = os.open("/dev/null", os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    os.environ.pop("PYTEST_ADDOPTS", None)

    import ast
    import json
    import types

    import pytest

    write, dumps, loads, read_line = os.write, json.dumps, json.loads, replies.readline
    hello = loads(read_line())
    nonce, root = hello["nonce"], os.getcwd()

    def say(frame):
        data = (dumps({**frame, "nonce": nonce}) + "\n").encode()
        while data:
            data = data[write(channel, data) :]

    def ask(frame):
        say(frame)
        return loads(read_line())

    class Trusted:
        """What the test files say, compiled before any code of the attempt has run."""

        def __init__(self):
            self.codes = {}
            self.mutants = {}
            for path in hello["files"]:
                full = os.path.join(root, path)
                with open(full, "rb") as file:
                    tree = ast.parse(file.read(), full)
                self.collect(compile(tree, full, "exec", dont_inherit=True), (path,))
                for definition, names in self.functions(tree, (path,)):
                    sentinel = hello["sentinels"].get("::".join(names))
                    if sentinel is not None and self.spoil(definition, sentinel):
                        self.mutants[names] = None
                if any(names[0] == path for names in self.mutants):
                    self.collect(compile(ast.fix_missing_locations(tree), full, "exec", dont_inherit=True), (path,), True)

        def functions(self, node, names):
            for part in node.body:
                if isinstance(part, ast.ClassDef):
                    yield from self.functions(part, names + (part.name,))
                elif isinstance(part, ast.FunctionDef):
                    yield part, names + (part.name,)

        def collect(self, code, names, spoilt=False):
            for part in code.co_consts:
                if isinstance(part, types.CodeType):
                    place = names + (part.co_name,)
                    if not spoilt:
                        self.codes[place] = part
                    elif place in self.mutants:
                        self.mutants[place] = part
                    self.collect(part, place, spoilt)

        def spoil(self, function, sentinel):
            """Makes the first equality that the body must reach compare with what no value equals."""
            for part in function.body:
                if isinstance(part, (ast.Return, ast.With, ast.Try, ast.If, ast.For, ast.While)):
                    return False
                if not isinstance(part, ast.Assert) or not isinstance(part.test, ast.Compare):
                    continue
                compare = part.test
                if len(compare.ops) == 1 and isinstance(compare.ops[0], ast.Eq):
                    right, extra = compare.comparators[0], ast.Constant(sentinel)
                    if isinstance(right, ast.Constant) and type(right.value) is int:
                        compare.comparators[0] = extra
                    elif isinstance(right, ast.List):
                        right.elts.append(extra)
                    else:
                        compare.comparators[0] = ast.Tuple([right, extra], ast.Load())
                    return True
            return False

        def place(self, item):
            parts = item.nodeid.split("[")[0].split("::")
            return tuple(parts)

        def changed(self, item, place):
            function = getattr(item.obj, "__func__", item.obj)
            while hasattr(function, "__wrapped__"):
                function = function.__wrapped__
            return place not in self.codes or getattr(function, "__code__", None) != self.codes[place]

    trusted = Trusted()

    class Plan:
        def __init__(self):
            self.runs = {}
            self.items = []

        def make(self, item, run):
            made = pytest.Function.from_parent(
                item.parent,
                name=run["name"],
                callspec=getattr(item, "callspec", None),
                fixtureinfo=item._fixtureinfo,
                originalname=item.originalname,
            )
            self.runs[run["name"]] = (run["spoilt"], trusted.place(item))
            return made

        def body(self, item):
            spoilt, place = self.runs[item.name]
            code = trusted.mutants.get(place) if spoilt else None
            if code is None:
                return item.obj
            real = getattr(item.obj, "__func__", item.obj)
            copy = types.FunctionType(code, real.__globals__, real.__name__, real.__defaults__, real.__closure__)
            copy.__kwdefaults__ = real.__kwdefaults__
            instance = getattr(item.obj, "__self__", None)
            return copy if instance is None else types.MethodType(copy, instance)

        @pytest.hookimpl(trylast=True)
        def pytest_collection_modifyitems(self, items):
            found = {}
            for item in items:
                plain = isinstance(item, pytest.Function) and type(item) is pytest.Function
                found[item.nodeid] = item
                if item.nodeid in hello["expected"] and not plain:
                    say({"type": "unfit", "id": item.nodeid})
            place = trusted.place
            spoilable = [name for name, item in found.items() if trusted.mutants.get(place(item)) is not None]
            runs = ask({"type": "collected", "ids": list(found), "spoilable": spoilable})["runs"]
            self.items = [(found[name], place(found[name])) for name in {run["id"]: None for run in runs}]
            self.check()
            items[:] = [self.make(found[run["id"]], run) for run in runs]

        def check(self):
            changed = [item.nodeid for item, place in self.items if trusted.changed(item, place)]
            say({"type": "code", "changed": changed})

        @pytest.hookimpl(tryfirst=True)
        def pytest_pyfunc_call(self, pyfuncitem):
            body = self.body(pyfuncitem)
            values = {name: pyfuncitem.funcargs[name] for name in pyfuncitem._fixtureinfo.argnames}
            raised = None
            try:
                body(**values)
            except BaseException as error:
                raised = type(error).__name__
            if ask({"type": "body", "name": pyfuncitem.name, "raised": raised})["fail"]:
                raise AssertionError("this run is to fail")
            return True

        def pytest_runtest_logreport(self, report):
            name = report.nodeid.split("::")[-1]
            say({"type": "report", "name": name, "when": report.when, "outcome": report.outcome})

    for folder in reversed(hello["python_path"]):
        sys.path.insert(0, os.path.normpath(os.path.join(root, folder)))
    plan = Plan()
    options = ["-q", "-s", "--tb=no", "--no-header", "--assert=plain", "--import-mode=importlib", "--strict-config"]
    options += ["-p", "no:cacheprovider", "-c", "/dev/null", "--rootdir", root, "--confcutdir", root]
    status = int(pytest.main(options + hello["paths"], plugins=[plan]))
    plan.check()
    say({"type": "end", "status": status})
    sys.stdout.flush()
    os._exit(status)


_drive()
