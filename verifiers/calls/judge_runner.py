# Follows typed_json.py in one program, before fork_server.py. Runs trusted files in a judge sandbox: hidden tests whose calls
# go to the subject (task "tests"), or a generator of inputs (task "generate"). It also compiles other programs for the same
# interpreter (task "compile"). Everything that it says goes to its channel with the run's nonce. `_judge` is one run, in a
# process of its own.

# What many hidden tests import: read once, not once for each run. None of these keeps a state that a run could tell from a
# fresh one's; `random` seeds itself anew in every child.
_PRELOADED = "collections copy functools itertools json math operator random re string typing".split()


class _Broken(BaseException):
    """The subject cannot answer this call: the test fails, whatever it expected."""


def _prepare_judge():
    for name in _PRELOADED:
        __import__(name)


def _judge(hello):
    import builtins
    import marshal
    import os
    import sys

    replies = os.fdopen(os.dup(0), "rb")
    channel = os.dup(3)
    os.close(3)
    null = os.open("/dev/null", os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    broken = []
    calls = [0]

    def say(frame):
        frame["nonce"] = hello["nonce"]
        data = dumps(frame).encode("ascii") + b"\n"
        while data:
            data = data[os.write(channel, data) :]

    def ask(frame):
        calls[0] += 1
        say(frame)
        line = replies.readline()
        if not line.strip():
            os._exit(3)
        return loads(line.decode())

    def give_up(reason):
        broken.append(reason)
        raise _Broken(reason)

    def error_of(raised):
        for name in raised["bases"]:
            kind = getattr(builtins, name, None)
            if not (isinstance(kind, type) and issubclass(kind, BaseException)):
                continue
            try:
                args = None if raised["args"] is None else [decode(part) for part in raised["args"]]
                return kind(*args) if args is not None else kind(raised["message"])
            except Exception:
                continue
        return Exception(raised["message"])

    def renew(old, new):
        """Makes `old` hold what `new` holds, in place, so that the test sees what the call changed."""
        if type(old) is not type(new):
            return new
        if type(old) is list:
            old[:] = [renew(a, b) for a, b in zip(old, new)] + new[len(old) :]
        elif type(old) is dict:
            fresh = {key: renew(old[key], part) if key in old else part for key, part in new.items()}
            old.clear()
            old.update(fresh)
        elif type(old) is set:
            old.clear()
            old.update(new)
        elif type(old) is bytearray:
            old[:] = new
        elif type(old) is tuple and len(old) == len(new):
            return tuple([renew(a, b) for a, b in zip(old, new)])
        else:
            return new
        return old

    def proxy(name):
        def call(*args, **kwargs):
            try:
                frame = {"args": [encode(part) for part in args], "kwargs": {key: encode(part) for key, part in kwargs.items()}}
            except Untypable as error:
                give_up("an argument: " + str(error))
            reply = ask({"type": "call", "function": name, **frame})
            if "broken" in reply:
                give_up(reply["broken"])
            try:
                if reply.get("args") is not None:
                    for old, new in zip(args, reply["args"]):
                        renew(old, decode(new))
                if "raised" not in reply:
                    return decode(reply["value"])
                error = error_of(reply["raised"])
            except Exception as problem:
                give_up("an answer that cannot be read: " + type(problem).__name__)
            raise error

        call.__name__ = call.__qualname__ = name
        return call

    class Result:
        def __init__(self, reply):
            self.exit_code = reply["exit_code"]
            self.stdout = reply["stdout"]
            self.stderr = reply["stderr"]

    def run(args=(), stdin="", files=None):
        frame = {"args": [str(part) for part in args], "stdin": stdin, "files": dict(files or {})}
        return Result(ask({"type": "run", **frame}))

    def install(name, members):
        module_type = type(sys)
        parts = name.split(".")
        for depth in range(1, len(parts)):
            package = sys.modules.setdefault(".".join(parts[:depth]), module_type(parts[depth - 1]))
            package.__path__ = []
        module = module_type(name)
        module.__dict__.update(members)
        sys.modules[name] = module
        if len(parts) > 1:
            setattr(sys.modules[name.rpartition(".")[0]], parts[-1], module)

    def place_of(error, file):
        trace, line = error.__traceback__, 0
        while trace is not None:
            if trace.tb_frame.f_code.co_filename == file:
                line = trace.tb_lineno
            trace = trace.tb_next
        return " (line %d)" % line if line else ""

    def load(file):
        path = os.path.join(os.getcwd(), file)
        sys.path.insert(0, os.getcwd())
        unload_hidden(entry.partition(".")[0] for entry in os.listdir(os.getcwd()))
        name = file[:-3]
        module = type(sys)(name)
        module.__file__ = path
        sys.modules[name] = module
        exec(code_of(path), module.__dict__)
        return module, path

    def code_of(path):
        """Compiled by an earlier run of this program, or now, for the runs that follow."""
        if hello["code"] is not None:
            return marshal.loads(_bytes(hello["code"]))
        with open(path, "rb") as source:
            return compiled(source.read(), path)

    def compiled(source, path):
        code = compile(source, path, "exec")
        say({"type": "code", "code": _base64(marshal.dumps(code))})
        return code

    def unload_hidden(names):
        """A file of the tests comes before a module of the same name that was read before them."""
        for name in names:
            for loaded in list(sys.modules):
                if name in _PRELOADED and (loaded == name or loaded.startswith(name + ".")):
                    del sys.modules[loaded]

    def one(test, path):
        del broken[:]
        status, message = "passed", None
        try:
            test()
        except BaseException as error:
            status = "failed"
            message = "%s: %s%s" % (type(error).__name__, str(error)[:1500], place_of(error, path))
        if broken:
            status, message = "failed", broken[0]
        return {"status": status, "message": message}

    def run_tests():
        if hello["functions"] is None:
            install("program", {"run": run})
        else:
            install(hello["module"], {name: proxy(name) for name in hello["functions"]})
        try:
            module, path = load(hello["file"])
        except BaseException as error:
            message = "%s: %s" % (type(error).__name__, error)
            return say({"type": "unloadable", "message": message[:1500], "calls": calls[0]})
        for name, test in list(module.__dict__.items()):
            if name.startswith("test_") and type(test) is type(one):
                say({"type": "result", "id": hello["file"] + "::" + name, **one(test, path)})
        say({"type": "end"})

    def generate():
        items = load(hello["file"])[0].generate(hello["seed"], hello["count"])
        for item in items:
            frame = {key: item.get(key, default) for key, default in (("function", None), ("stdin", ""), ("files", {}))}
            frame["args"] = [encode(part) for part in item.get("args", [])]
            say({"type": "input", **frame})
        say({"type": "end"})

    if hello["task"] == "tests":
        run_tests()
    elif hello["task"] == "generate":
        generate()
    else:
        compiled(hello["source"], "<string>")
        say({"type": "end"})

