"""Configuration in layers."""

from .expand import expand
from .loader import resolve, resolve_each
from .merge import merge
from .parse import parse

__all__ = ["expand", "merge", "parse", "resolve", "resolve_each"]
