"""Small queries over CSV tables."""

from .errors import QueryError
from .run import query

__all__ = ["QueryError", "query"]
