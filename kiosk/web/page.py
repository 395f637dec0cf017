"""The page itself: worded in the reader's language, with all that it shows first already in it."""

from __future__ import annotations

import asyncio
import contextlib
import json
from typing import Any

from kiosk.database import DatabaseError
from kiosk.orders import OrderState
from kiosk.readiness import UNSETTLED_AFTER
from kiosk.records import OrderFilter
from kiosk.web.handlers import JOURNAL_SECONDS, Guarded
from kiosk.web.page_words import SALES_STATES, page_words
from kiosk.web.views import order_view, status_view
from kiosk.words import WORDS

LANGUAGE_COOKIE = "kiosk_language"  # the page sets it: what this phone reads, whatever customers read
FIRST_ORDERS = 20  # more come when somebody asks for them


class PageHandler(Guarded):
    """GET /: usable as it arrives; the live feed only keeps it up to date."""

    is_page = True

    async def get(self) -> None:
        """Show it."""
        chosen = self.get_cookie(LANGUAGE_COOKIE, "")
        language = chosen if chosen in WORDS else self.site.settings.kiosk.language
        words = page_words(language)
        sales_states = [state.value for state in SALES_STATES]
        first = {"language": language, "words": words, "sales_states": sales_states, **await self._first()}
        self.render(
            "index.html",
            name=self.site.settings.kiosk.name,
            language=language,
            w=words,
            first=json.dumps(first, ensure_ascii=False),
            states=[state.value for state in OrderState],
        )

    async def _first(self) -> dict[str, Any]:
        """What is shown before the feed has said anything; a journal that is stuck is told by the status."""
        journal = self.site.journal
        lists: dict[str, Any] = {"orders": [], "unsettled": []}
        with contextlib.suppress(DatabaseError, TimeoutError):
            async with asyncio.timeout(JOURNAL_SECONDS):
                await self.site.shelf.refresh()
                sales = OrderFilter(states=SALES_STATES)
                orders = await journal.page_of_orders(sales, limit=FIRST_ORDERS)
                unsettled = await journal.unsettled(UNSETTLED_AFTER)
                lists = {
                    "orders": [order_view(order) for order in orders],
                    "unsettled": [order_view(order) for order in unsettled[:FIRST_ORDERS]],
                }
        return {"status": status_view(self.site), **lists}
