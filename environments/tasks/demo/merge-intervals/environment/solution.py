"""Booked time and free time of a room."""


def merge(intervals):
    raise NotImplementedError


def gaps(intervals, opening, closing):
    raise NotImplementedError
