# Follows typed_json.py in one program. Imports the attempt's module and answers calls, one line each: the request's nonce
# comes back with the answer. Nothing here is trusted by the worker; it only keeps honest code from standing in its own way.
# For gold it stands before fork_server.py, and `first` is what that has read already.


def _serve(first):
    import posix  # What `os` is made of: at hand at once, where `os` takes a sixth of an interpreter's start.
    import sys

    requests = open(posix.dup(0), "rb")
    channel = posix.dup(3)
    posix.close(3)
    null = posix.open("/dev/null", posix.O_RDONLY)
    posix.dup2(null, 0)
    posix.close(null)
    write = posix.write

    def answer(frame):
        data = dumps(frame).encode("ascii") + b"\n"
        while data:
            data = data[write(channel, data) :]

    def raised(error):
        kinds = type(error).__mro__
        bases = [kind.__name__ for kind in kinds if kind.__module__ == "builtins"]
        try:
            parts = [encode(part) for part in error.args]
        except Untypable:
            parts = None
        try:
            message = str(error)
        except BaseException:
            message = ""
        return {"name": kinds[0].__name__, "bases": bases, "message": message[:2000], "args": parts}

    def is_folder(path):
        try:
            return posix.stat(path).st_mode & 0o170000 == 0o040000
        except OSError:
            return False

    def load(hello):
        version = "python%d.%d" % sys.version_info[:2]
        for folder in ("/usr/local/lib/" + version, sys.prefix + "/lib/" + version, "/usr/lib/python3"):
            for name in ("dist-packages", "site-packages"):
                if folder + "/" + name not in sys.path and is_folder(folder + "/" + name):
                    sys.path.append(folder + "/" + name)
        if sys.version_info < (3, 11):  # Since then what `os` imports is in the interpreter, where no file of that name hides it.
            __import__("os")
        sys.path.insert(0, posix.getcwd())
        sys.argv = [hello["entry"].replace(".", "/") + ".py"]
        __import__("builtins").exit = sys.exit
        __import__(hello["entry"])
        return sys.modules[hello["entry"]]

    def call(module, request):
        function = getattr(module, request["function"], None)
        if not callable(function):
            return {"broken": "there is no function " + request["function"]}
        args = [decode(part) for part in request["args"]]
        kwargs = {name: decode(part) for name, part in request["kwargs"].items()}
        try:
            value = function(*args, **kwargs)
        except BaseException as error:
            reply = {"raised": raised(error)}
        else:
            try:
                reply = {"value": encode(value)}
            except Untypable as error:
                return {"broken": str(error)}
        try:
            after = [encode(part) for part in args]
        except Untypable:
            return reply
        if dumps(after) != dumps(request["args"]):
            reply["args"] = after
        return reply

    module = None
    while True:
        line = b"" if first else requests.readline()
        if not (first or line.strip()):
            return
        request, first = first or loads(line.decode()), None
        if module is None:
            try:
                module = load(request)
                reply = {"value": None}
            except BaseException as error:
                reply = {"raised": raised(error)}
        elif request["function"] is None:
            reply = {"value": None}
        else:
            reply = call(module, request)
        reply["nonce"] = request["nonce"]
        answer(reply)

