"""Booked time and free time of a room."""


def merge(intervals):
    for start, end in intervals:
        if start > end:
            raise ValueError(f"interval starts at {start} after its end {end}")
    merged = []
    for start, end in sorted([start, end] for start, end in intervals if start < end):
        if merged and start <= merged[-1][1]:
            merged[-1][1] = max(merged[-1][1], end)
        else:
            merged.append([start, end])
    return merged


def gaps(intervals, opening, closing):
    if opening > closing:
        raise ValueError(f"opens at {opening} after it closes at {closing}")
    free = []
    now = opening
    for start, end in merge(intervals):
        if end <= now:
            continue
        if start >= closing:
            break
        if start > now:
            free.append([now, start])
        now = end
    if now < closing:
        free.append([now, closing])
    return free
