"""Folding of tables."""

from .parse import Items


def merge(tables):
    """One table in which later ones override earlier ones. The tables given stay as they are."""
    result = {}
    for table in tables:
        merge_into(result, table)
    return result


def merge_into(target, table):
    for key, value in table.items():
        old = target.get(key)
        if isinstance(value, dict):
            if not isinstance(old, dict):
                old = target[key] = {}
            merge_into(old, value)
        elif isinstance(value, Items) and isinstance(old, Items) and not value.fresh:
            target[key] = copied([*old, *value], old.fresh)
        elif isinstance(value, Items):
            target[key] = copied(value, value.fresh)
        else:
            target[key] = value


def copied(items, fresh):
    """A list of its own, so that no layer is changed through the result."""
    result = Items(items)
    result.fresh = fresh
    return result
