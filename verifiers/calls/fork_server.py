# Follows the functions of a trusted program. Serves its runs one after the other, each in a child process that ends with it:
# what a run imports, patches, allocates or leaves in memory never reaches the next. A line "@<JSON>" on standard input begins
# a run, with its files; the lines after it are the run's own. "!<JSON>" on the channel says how it ended, and whether the
# sandbox is as it was before the first.


def _next_run(prepare):
    """Returns the first frame of a run, in that run's own process. `prepare` is done once, before all runs."""
    import gc
    import os
    import signal

    def traces():
        """What a run could leave behind: files, wherever they are, and processes."""
        room = [tuple(os.statvfs(path)[3:7]) for path in ("/", "/dev/shm")]
        return room, [name for name in os.listdir("/proc") if name.isdigit()]

    def touch(folder):
        """Makes the folder itself a changed one, so that a file which comes and goes leaves no trace in it."""
        path = folder + "/.touched"
        os.close(os.open(path, os.O_CREAT | os.O_EXCL, 0o600))
        os.unlink(path)

    def next_frame():
        data = b""
        while True:
            part = os.read(0, 1 << 20)
            if not part:
                os._exit(0)
            # Empty lines: the end of input of a run that had ended already.
            data = (data + part).lstrip(b"\n")
            if data[-1:] != b"\n":
                continue
            if data[:1] != b"@":
                os._exit(70)
            return loads(data[1:].decode())

    def place(files):
        made = []
        for path, (mode, data) in files.items():
            parts = path.split("/")
            for depth in range(1, len(parts)):
                folder = "/".join(parts[:depth])
                if not os.path.isdir(folder):
                    os.mkdir(folder)
                    made.append(folder)
            file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
            made.append(path)
            with os.fdopen(file, "wb") as target:
                target.write(_bytes(data))
            os.chmod(path, mode)
        return made

    def clear(made):
        for path in reversed(made):
            try:
                if os.path.isdir(path) and not os.path.islink(path):
                    os.rmdir(path)
                else:
                    os.unlink(path)
            except OSError:
                pass  # Seen in the traces.

    def end_of(status):
        if not os.WIFSIGNALED(status):
            return {"exit_code": os.WEXITSTATUS(status), "signal": None}
        number = os.WTERMSIG(status)
        known = number in signal.valid_signals() and isinstance(signal.Signals(number), signal.Signals)
        return {"exit_code": None, "signal": signal.Signals(number).name if known else "SIG%d" % number}

    prepare()
    for folder in (os.getcwd(), "/tmp"):
        touch(folder)
    gc.collect()
    gc.freeze()
    before = traces()
    while True:
        frame = next_frame()
        made = place(frame.pop("files", {}))
        child = os.fork()
        if child == 0:
            return frame
        frame = None
        end = end_of(os.waitpid(child, 0)[1])
        clear(made)
        end["clean"] = traces() == before
        os.write(3, b"!" + dumps(end).encode("ascii") + b"\n")


def _end_run():
    """Ends a run's process as the interpreter would; at once, when nothing waits for its end."""
    import _thread
    import atexit
    import os
    import sys

    if _thread._count() == 0 and atexit._ncallbacks() == 0:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(0)
