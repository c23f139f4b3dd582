"""Accounts, bookings and journals of a small bank."""

from .ledger import Ledger, Refused
from .money import cents, text

__all__ = ["Ledger", "Refused", "cents", "text"]
