"""What can go wrong in the kiosk's own dealings. The class tells the caller what to do.

::

    Exception
    ├── NotForSale       tell the customer, in the customer's words; nothing was changed
    ├── NotBelieved      refuse the message, count it, change nothing
    └── RefundRefused    tell the technician why; nothing was changed

The journal's own (`SoldOut`, `UnknownOrder`, `UnknownSlot`) stand in `kiosk.journal`, `DatabaseError` (stop selling
until the disk is well) in `kiosk.database`, `TransitionRefused` in `kiosk.orders`.
"""

from __future__ import annotations


class NotForSale(Exception):
    """The product cannot be bought now. The text is what the customer reads on the phone.

    `code` is the reason for programs: unknown_product, sold_out, out_of_service, order_closed or try_again.
    """

    def __init__(self, text: str, code: str) -> None:
        super().__init__(text)
        self.code = code


class NotBelieved(Exception):
    """A message from outside that is forged, altered, foreign or about nothing we know. Safe to send back."""


class RefundRefused(Exception):
    """The order cannot be refunded; the sentence says why."""
