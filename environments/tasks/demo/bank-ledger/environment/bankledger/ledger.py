"""Accounts and the bookings that change them."""

from .fees import transfer_fee


class Refused(Exception):
    """A booking that breaks a rule. It has changed nothing."""


class Account:
    def __init__(self, name):
        self.name = name
        self.balance = 0
        self.closed = False
        self.history = []  # (kind, change in cents)
        self.fees_paid = 0

    def book(self, kind, change):
        if self.closed:
            raise Refused(f"{self.name} is closed")
        if self.balance + change < 0:
            raise Refused(f"{self.name} does not have enough")
        self.balance += change
        self.history.append((kind, change))


class Ledger:
    def __init__(self):
        self.accounts = {}
        self.fees = 0

    def account(self, name):
        if name not in self.accounts:
            raise Refused(f"{name} is unknown")
        return self.accounts[name]

    def open(self, name):
        if name in self.accounts:
            raise Refused(f"{name} exists")
        self.accounts[name] = Account(name)

    def close(self, name):
        account = self.account(name)
        if account.closed:
            raise Refused(f"{name} is closed")
        if account.balance != 0:
            raise Refused(f"{name} is not empty")
        account.closed = True

    def deposit(self, name, amount):
        self.account(name).book("deposit", amount)

    def withdraw(self, name, amount):
        self.account(name).book("withdrawal", -amount)

    def transfer(self, source, target, amount):
        if source == target:
            raise Refused("sender and receiver are the same")
        sender = self.account(source)
        sender.book(f"to {target}", -amount)
        fee = transfer_fee(amount)
        sender.book("fee", -fee)
        sender.fees_paid += fee
        self.fees += fee
        self.account(target).book(f"from {source}", amount)

    def refund(self, name):
        account = self.account(name)
        if account.fees_paid == 0:
            raise Refused(f"{name} has paid no fees")
        amount, account.fees_paid = account.fees_paid, 0
        self.fees -= amount
        account.book("refund", amount)
