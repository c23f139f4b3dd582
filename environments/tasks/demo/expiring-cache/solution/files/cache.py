"""A cache with least-recently-used eviction and expiry."""

from collections import OrderedDict


class Cache:
    def __init__(self, capacity):
        if capacity < 1:
            raise ValueError(f"capacity must be at least 1, got {capacity}")
        self.capacity = capacity
        self.entries = OrderedDict()  # key -> (value, expiry), least recently used first

    def live(self, now, key):
        entry = self.entries.get(key)
        if entry is None:
            return None
        if now >= entry[1]:
            del self.entries[key]
            return None
        return entry

    def put(self, now, key, value, ttl):
        expiry = self.expiry(now, ttl)
        if key not in self.entries and len(self.entries) >= self.capacity:
            self.make_room(now)
        self.entries[key] = (value, expiry)
        self.entries.move_to_end(key)

    def get(self, now, key):
        entry = self.live(now, key)
        if entry is None:
            return None
        self.entries.move_to_end(key)
        return entry[0]

    def touch(self, now, key, ttl):
        expiry = self.expiry(now, ttl)
        entry = self.live(now, key)
        if entry is None:
            return False
        self.entries[key] = (entry[0], expiry)
        self.entries.move_to_end(key)
        return True

    def drop(self, now, key):
        found = self.live(now, key) is not None
        self.entries.pop(key, None)
        return found

    def keys(self, now):
        return [key for key, (_, expiry) in reversed(self.entries.items()) if now < expiry]

    def make_room(self, now):
        expired = [key for key, (_, expiry) in self.entries.items() if now >= expiry]
        for key in expired:
            del self.entries[key]
        if not expired:
            self.entries.popitem(last=False)

    @staticmethod
    def expiry(now, ttl):
        if ttl < 1:
            raise ValueError(f"ttl must be at least 1, got {ttl}")
        return now + ttl


def replay(capacity, operations):
    cache = Cache(capacity)
    known = {"put": cache.put, "get": cache.get, "touch": cache.touch, "drop": cache.drop, "keys": cache.keys}
    answers = []
    for name, *arguments in operations:
        if name not in known:
            raise ValueError(f"unknown operation {name!r}")
        answers.append(known[name](*arguments))
    return answers
