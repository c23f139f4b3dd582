"""Values between Python and other processes as typed JSON (typed-json.md): data only, nothing is ever evaluated."""

try:  # The C parts of the json package, without its regular expressions: a third of the start-up time.
    import _json

    class _Rules:
        strict = True
        object_hook = None
        object_pairs_hook = None
        parse_float = float
        parse_int = int
        memo = {}

        @staticmethod
        def parse_constant(name):
            raise ValueError(name + " is not JSON")

    _scan = _json.make_scanner(_Rules)
    _make = _json.make_encoder(None, None, _json.encode_basestring_ascii, None, ":", ",", False, False, False)

    def loads(text):
        value, end = _scan(text, 0)
        if text[end:].strip(" \r\n\t"):
            raise ValueError("data after the value")
        return value

    def dumps(value):
        return "".join(_make(value, 0))

    if loads(dumps({"a": [1, None, "\u00e9"]})) != {"a": [1, None, "\u00e9"]}:
        raise ImportError
except (ImportError, AttributeError, TypeError):
    import json

    loads = json.loads

    def dumps(value):
        return json.dumps(value, separators=(",", ":"))


SAFE = 2**53 - 1
DEPTH = 200


class Untypable(Exception):
    """A value that typed JSON has no form for."""


def _base64(data):
    import binascii

    return binascii.b2a_base64(data, newline=False).decode()


def _plain(key):
    return type(key) is str and not key.isdigit() and key[:1] != "$" and key != "__proto__"


def _mapping(value, depth):
    if all(map(_plain, value)):
        return {key: encode(part, depth) for key, part in value.items()}
    return {"$dict": [[encode(key, depth), encode(part, depth)] for key, part in value.items()]}


def _int(value, _depth):
    return value if -SAFE <= value <= SAFE else {"$int": hex(value)}


_forms = {
    int: _int,
    float: lambda value, depth: {"$float": repr(value)},
    complex: lambda value, depth: {"$complex": [repr(value.real), repr(value.imag)]},
    bytes: lambda value, depth: {"$bytes": _base64(value)},
    bytearray: lambda value, depth: {"$bytearray": _base64(value)},
    range: lambda value, depth: {"$range": [_int(value.start, 0), _int(value.stop, 0), _int(value.step, 0)]},
    list: lambda value, depth: [encode(part, depth) for part in value],
    tuple: lambda value, depth: {"$tuple": [encode(part, depth) for part in value]},
    set: lambda value, depth: {"$set": [encode(part, depth) for part in value]},
    frozenset: lambda value, depth: {"$frozenset": [encode(part, depth) for part in value]},
    dict: _mapping,
}

# An instance of a subclass travels as its builtin base, read by the base's own methods.
_bases = (
    (int, int.__int__),
    (float, float.__float__),
    (str, str.__str__),
    (bytes, lambda value: bytes(memoryview(value))),
    (bytearray, lambda value: bytearray(memoryview(value))),
    (tuple, lambda value: tuple(tuple.__iter__(value))),
    (list, lambda value: list(list.__iter__(value))),
    (dict, lambda value: dict(dict.items(value))),
    (set, lambda value: set(set.__iter__(value))),
    (frozenset, lambda value: frozenset(frozenset.__iter__(value))),
)


def encode(value, depth=DEPTH):
    kind = type(value)
    if kind is str or value is None or kind is bool:
        return value
    if depth == 0:
        raise Untypable("nested more than %d deep" % DEPTH)
    form = _forms.get(kind)
    if form is not None:
        return form(value, depth - 1)
    for base, exact in _bases:
        if issubclass(kind, base):
            return encode(exact(value), depth - 1)
    raise Untypable("a value of type %s cannot travel" % kind.__name__)


def _bytes(text):
    import binascii

    return binascii.a2b_base64(text.encode("ascii"))


_readers = {
    "$int": lambda text: int(text, 16),
    "$bigint": lambda text: int(text, 16),
    "$float": float,
    "$complex": lambda parts: complex(float(parts[0]), float(parts[1])),
    "$bytes": _bytes,
    "$bytearray": lambda text: bytearray(_bytes(text)),
    "$range": lambda parts: range(*[decode(part) for part in parts]),
    "$tuple": lambda parts: tuple([decode(part) for part in parts]),
    "$set": lambda parts: {decode(part) for part in parts},
    "$frozenset": lambda parts: frozenset([decode(part) for part in parts]),
    "$dict": lambda pairs: {decode(key): decode(part) for key, part in pairs},
    "$map": lambda pairs: {decode(key): decode(part) for key, part in pairs},
    "$undefined": lambda _: None,
}


def decode(value):
    kind = type(value)
    if kind is list:
        return [decode(part) for part in value]
    if kind is dict:
        if len(value) == 1:
            ((tag, body),) = value.items()
            if tag[:1] == "$":
                return _readers[tag](body)
        return {key: decode(part) for key, part in value.items()}
    return value
