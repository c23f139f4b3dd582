"""What a transfer costs."""

LEAST = 5
MOST = 500


def transfer_fee(amount):
    """1 % of the amount, rounded up, within bounds. All in cents."""
    return min(MOST, max(LEAST, -(-amount // 100)))
