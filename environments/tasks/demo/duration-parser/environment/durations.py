"""Durations as people write them: 2d4h, 1h 30m, 45s."""


def parse_duration(text):
    raise NotImplementedError


def format_duration(seconds):
    raise NotImplementedError
