"""A cache with least-recently-used eviction and expiry."""


def replay(capacity, operations):
    raise NotImplementedError
