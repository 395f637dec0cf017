"""A vending machine's mind: orders, money, goods, and the process that holds them together."""

__version__ = "0.1.0"
