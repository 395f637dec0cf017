"""Vending boards: the Dispenser interface, the serial link, and a folder for each protocol.

Knows nothing of money, of WeChat, or of the kiosk package.
"""
