"""The technician's API for what has happened: orders, their stories, sales, days, the support file."""

from __future__ import annotations

import asyncio
import csv
import io
from dataclasses import asdict
from datetime import date, timedelta
from typing import Any

from tornado.iostream import StreamClosedError

from kiosk.errors import RefundRefused
from kiosk.journal import MAX_ORDERS_A_PAGE, UnknownOrder
from kiosk.order_table import COLUMNS, cells
from kiosk.orders import REFUNDABLE, OrderState, TransitionRefused
from kiosk.readiness import UNSETTLED_AFTER
from kiosk.records import OrderFilter
from kiosk.sales import CloseRefused, begin_of, day_totals
from kiosk.web.details import SUPPORT_ORDERS, support_zip
from kiosk.web.handlers import Guarded
from kiosk.web.refusals import Refused
from kiosk.web.views import event_view, order_view, time_text

DEFAULT_ORDERS = 50
DEFAULT_DAYS, MAX_DAYS = 14, 92  # two weeks on a phone; a quarter in one answer
FIRST_YEAR, LAST_YEAR = 2000, 2999  # whose days can be counted on and back without leaving what a date can hold
CHANGES = 100  # some weeks of what technicians do
SUPPORT_STORIES = 50  # the last orders, told whole


class _Wanted(Guarded):
    """Reads what narrows a list of orders."""

    def wanted(self) -> OrderFilter:
        """state= (several are any of them), product=, day=, search=; refuses with 400 what cannot be."""
        known = [each.value for each in OrderState]
        states = [state for state in self.get_query_arguments("state") if state]
        for state in states:
            if state not in known:
                raise Refused("bad_state", state=state, known=", ".join(known))
        day = self.get_query_argument("day", "")
        found = _day(day) if day else None
        return OrderFilter(
            states=[OrderState(state) for state in states],
            product_id=self.get_query_argument("product", "") or None,
            since=None if found is None else begin_of(found),
            until=None if found is None else begin_of(found + timedelta(days=1)),
            search=self.get_query_argument("search", "") or None,
        )


class OrdersHandler(_Wanted):
    """GET /api/orders?state=&product=&day=&search=&limit=&before=, or ?unsettled=1."""

    async def get(self) -> None:
        """Newest first."""
        if self.get_query_argument("unsettled", ""):
            orders = await self.site.journal.unsettled(UNSETTLED_AFTER)
        else:
            limit = self.number("limit", DEFAULT_ORDERS, 1, MAX_ORDERS_A_PAGE)
            before = self.get_query_argument("before", "") or None
            orders = await self.site.journal.page_of_orders(self.wanted(), before=before, limit=limit)
        self.finish({"orders": [order_view(order) for order in orders]})


class CsvHandler(_Wanted):
    """GET /api/orders.csv, narrowed like the list: all of them, a page at a time, so that a million fit."""

    async def get(self) -> None:
        """Newest first; amounts in fen."""
        wanted = self.wanted()
        self.set_header("Content-Type", "text/csv; charset=utf-8")
        self.set_header("Content-Disposition", f'attachment; filename="{self.site.settings.kiosk.id}-orders.csv"')
        rows: list[list[str]] = [list(COLUMNS)]
        before: str | None = None
        while True:
            table = io.StringIO()
            csv.writer(table).writerows(rows)
            self.write(table.getvalue())
            try:
                await self.flush()
            except StreamClosedError:
                return
            orders = await self.site.journal.page_of_orders(wanted, before=before, limit=MAX_ORDERS_A_PAGE)
            if not orders:
                return
            rows, before = [cells(order) for order in orders], orders[-1].out_trade_no


class OrderHandler(Guarded):
    """GET /api/orders/NO."""

    async def get(self, number: str) -> None:
        """One order as a story."""
        order = await self.site.journal.order(number)
        if order is None:
            raise Refused("unknown_order", order=number)
        events = await self.site.journal.story(number)
        self.finish({"order": order_view(order), "events": [event_view(event) for event in events]})


class RefundHandler(Guarded):
    """POST /api/orders/NO/refund."""

    async def post(self, number: str) -> None:
        """Ask for it; the machine sees to it."""
        known = await self.site.journal.order(number)
        if known is None:
            raise Refused("unknown_order", order=number)
        if known.state not in REFUNDABLE:
            raise Refused("not_refundable", order=number, state=known.state.value)
        self.check_proof()
        try:
            order = await self.site.cashier.refund(number, self.who)
        except RefundRefused as error:  # somebody else was quicker
            raise Refused("conflict", why=str(error)) from error
        self.set_status(202)
        self.finish({"order": order_view(order)})


class DeliveredHandler(Guarded):
    """POST /api/orders/NO/delivered: somebody has looked, the goods of a doubtful order did come out."""

    async def post(self, number: str) -> None:
        """Book it."""
        try:
            order = await self.site.dispatcher.confirm_delivery(number, self.who)
        except UnknownOrder as error:
            raise Refused("unknown_order", order=number) from error
        except TransitionRefused as error:
            raise Refused("not_in_doubt", order=number, state=error.order.state.value) from error
        self.finish({"order": order_view(order)})


class ChangesHandler(Guarded):
    """GET /api/changes: what technicians and the machine itself did, newest first; who, when and what."""

    async def get(self) -> None:
        """Look."""
        events = await self.site.journal.changes(CHANGES)
        self.finish({"changes": [event_view(event) for event in events]})


class SalesHandler(Guarded):
    """GET /api/sales?days=&last=: sums of each day by product, oldest first."""

    async def get(self) -> None:
        """Add up."""
        days, last = self.number("days", DEFAULT_DAYS, 1, MAX_DAYS), self.get_query_argument("last", "")
        until = _day(last) if last else self.site.clock.now().astimezone().date()
        found = await self.site.journal.sales.days(until - timedelta(days=days - 1), until)
        self.finish({"days": [day_totals(day) for day in found]})


class _DayHandler(Guarded):
    """Shows a day."""

    async def view(self, day: date) -> dict[str, Any]:
        """The day and its close."""
        sales = self.site.journal.sales
        closed = await sales.closed(day)
        told = None if closed is None else asdict(closed) | {"at": time_text(closed.at)}
        return {"day": day_totals((await sales.days(day, day))[0]), "closed": told}


class DayHandler(_DayHandler):
    """GET /api/days/DATE: what one day added up to, and whether it is closed."""

    async def get(self, text: str) -> None:
        """Look."""
        self.finish(await self.view(_day(text)))


class CloseDayHandler(_DayHandler):
    """POST /api/days/DATE/close: once, when the day is over."""

    async def post(self, text: str) -> None:
        """Book it."""
        day, sales = _day(text), self.site.journal.sales
        if day >= self.site.clock.now().astimezone().date():
            raise Refused("day_not_over", day=day)
        closed = await sales.closed(day)
        if closed is not None:
            raise Refused("day_closed", day=day, number=closed.number, who=closed.who)
        try:
            await sales.close(day, self.who)
        except CloseRefused as error:  # somebody else was quicker
            raise Refused("conflict", why=str(error)) from error
        self.finish(await self.view(day))


class SupportHandler(Guarded):
    """GET /api/support.zip: one file for whoever helps from afar; no secrets in it."""

    async def get(self) -> None:
        """Pack it."""
        journal = self.site.journal
        orders = await journal.page_of_orders(limit=SUPPORT_ORDERS)
        told = await journal.unsettled(UNSETTLED_AFTER) + orders[:SUPPORT_STORIES]
        stories = {
            order.out_trade_no: [event_view(event) for event in await journal.story(order.out_trade_no)]
            for order in told
        }
        packed = await asyncio.to_thread(support_zip, self.site, orders, stories)
        self.set_header("Content-Type", "application/zip")
        name = f"{self.site.settings.kiosk.id}-{self.site.clock.now():%Y%m%d-%H%M%S}.zip"
        self.set_header("Content-Disposition", f'attachment; filename="{name}"')
        self.finish(packed)


def _day(text: str) -> date:
    try:
        found = date.fromisoformat(text)
    except ValueError:
        raise Refused("bad_day", day=text) from None
    if not FIRST_YEAR <= found.year <= LAST_YEAR:
        raise Refused("bad_day", day=text)
    return found
