"""The machine's own way of a payment notification, in a process of its own: the listener, the cashier, the journal.

    python -m bench.payments_server PORT FOLDER ORDERS

The rest of a machine (board, screen, page) hears of a payment after the answer is on its way; it is left out, so that
thousands of orders can be paid here of which a real machine would have to drop every one.
"""

from __future__ import annotations

import asyncio
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

from tornado.netutil import bind_sockets

from bench.values import numbers, settings_in
from kiosk.cashier import Cashier
from kiosk.clock import SystemClock
from kiosk.journal import Journal
from kiosk.machine import share_interpreter
from kiosk.orders import Channel, Order, OrderState
from kiosk.payments.wechat.gateway import WeChatGateway
from kiosk.payments.wechat.notifications import Inbound
from kiosk.settings import Settings
from kiosk.web.public import public_server
from kiosk.words import Speaker


async def serve(port: int, folder: Path, count: int) -> None:
    """Listen until killed."""
    settings, clock = settings_in(folder), SystemClock()
    journal = Journal(folder, clock)
    await journal.set_up_slots(settings.slots)
    await fill(journal, settings, count)
    gateway = WeChatGateway(
        settings.wechatpay,
        shop_name=settings.kiosk.name,
        machine_id=settings.kiosk.id,
        miniprogram_app_id=None,
        clock=clock,
    )
    cashier = Cashier(
        settings=settings,
        journal=journal,
        gateway=gateway,
        clock=clock,
        speaker=Speaker("zh_CN"),
        closed=lambda: None,
        answered=lambda _: None,
    )
    inbound = Inbound(settings.wechatpay, miniprogram_app_id=None)
    server = public_server(cashier, inbound, None)
    server.add_sockets(bind_sockets(port, "127.0.0.1"))
    share_interpreter()
    print("ready", flush=True)
    await asyncio.Event().wait()


async def fill(journal: Journal, settings: Settings, count: int) -> None:
    """So many orders that wait for their payment."""
    now = datetime.now(UTC)
    drafts = [
        Order(
            out_trade_no=number,
            channel=Channel.NATIVE_TWO,
            product_id=settings.products[0].id,
            product_name=settings.products[0].name,
            amount_fen=settings.products[0].price_fen,
            app_id=settings.wechatpay.app_id,
            state=OrderState.AWAITING_PAYMENT,
            created_at=now,
            expires_at=now + timedelta(hours=1),
            updated_at=now,
        )
        for number in numbers(count)
    ]
    await asyncio.gather(*(journal.open_order(order, (), reusable_until=now) for order in drafts))


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])))
