"""From texts to configurations."""

from .expand import expand
from .merge import merge
from .parse import parse


def resolve(layers):
    """The configuration that these layers make, references expanded."""
    return expand(merge([parse(text) for text in layers]))


def resolve_each(shared, own):
    """One configuration for each text in `own`, on top of the same shared layers, which are parsed once."""
    base = [parse(text) for text in shared]
    return [expand(merge([*base, parse(text)])) for text in own]
