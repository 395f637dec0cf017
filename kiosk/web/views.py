"""The machine's state as JSON, the same for the API, the live feed and the page."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from hardware.dispenser import Dispenser
from kiosk import __version__
from kiosk.cashier import Cashier
from kiosk.clock import Clock
from kiosk.dispatcher import Dispatcher
from kiosk.journal import Journal
from kiosk.orders import Order
from kiosk.payments.gateway import PaymentGateway
from kiosk.readiness import Readiness
from kiosk.records import Event, SlotRecord
from kiosk.settings import Settings, Slot
from kiosk.shelf import Shelf, slot_state
from kiosk.storefront import Storefront
from kiosk.story import sentence


@dataclass
class Site:
    """The parts that a technician looks at and acts on. `settings` are replaced when a new ini is taken."""

    settings: Settings
    journal: Journal
    shelf: Shelf
    readiness: Readiness
    cashier: Cashier
    dispatcher: Dispatcher
    dispenser: Dispenser
    gateway: PaymentGateway
    storefront: Storefront
    clock: Clock


def time_text(at: datetime | None) -> str | None:
    """ISO 8601 with the board's own offset."""
    return None if at is None else at.astimezone().isoformat(timespec="milliseconds")


def slot_view(slot: Slot, record: SlotRecord) -> dict[str, Any]:
    """One slot."""
    return {
        "id": slot.id,
        "product": slot.product_id,
        "stock": record.stock,
        "capacity": slot.capacity,
        "state": slot_state(record).value,
        "fault": record.fault,
    }


def order_view(order: Order) -> dict[str, Any]:
    """One order. `amount` and `paid` in fen."""
    return {
        "out_trade_no": order.out_trade_no,
        "transaction_id": order.transaction_id,
        "product_id": order.product_id,
        "product_name": order.product_name,
        "slot": order.slot,
        "amount": order.amount_fen,
        "paid": order.paid_fen,
        "state": order.state.value,
        "reason": order.reason,
        "channel": order.channel.value,
        "claim_code": order.claim_code,
        "created_at": time_text(order.created_at),
        "paid_at": time_text(order.paid_at),
        "finished_at": time_text(order.finished_at),
    }


def event_view(event: Event) -> dict[str, Any]:
    """One step of an order's story."""
    detail = dict(event.detail)
    if event.slot is not None:
        detail["slot"] = event.slot
    texts = {language: sentence(event, language) for language in ("zh_CN", "en")}
    return {"at": time_text(event.at), "kind": event.kind, "detail": detail, "text": texts}


def status_view(site: Site) -> dict[str, Any]:
    """The whole machine in one glance."""
    settings, readiness = site.settings, site.readiness
    reach = site.gateway.reachability
    status = site.dispenser.status
    vend = site.dispatcher.vend
    return {
        "id": settings.kiosk.id,
        "name": settings.kiosk.name,
        "version": __version__,
        "at": time_text(site.clock.now()),
        "health": readiness.health,
        "problems": [
            {
                "code": problem.code,
                "message": problem.message,
                "text": dict(problem.texts),
                "advice": dict(problem.advice),
                "since": time_text(problem.since),
                "blocking": problem.blocking,
            }
            for problem in readiness.problems
        ],
        "out_of_service": readiness.out_of_service,
        "slots": [slot_view(slot, record) for slot, record in site.shelf.slots()],
        "products": [
            {
                "id": product.id,
                "name": product.name,
                "name_en": product.name_en,
                "price": product.price_fen,
                "available": site.shelf.available.get(product.id, 0),
            }
            for product in settings.products
        ],
        "language": site.storefront.language,
        "orders": {state.value: count for state, count in site.shelf.counts.items()},
        "vending": None if vend is None else vend.slot.id,
        "dispenser": {
            "ready": status.ready,
            "reason": status.reason,
            "facts": [{"name": fact.name, "value": fact.value, "unit": fact.unit} for fact in status.facts],
        },
        "wechat": {
            "host": reach.host,
            "last_answer_at": time_text(reach.last_answer_at),
            "failures": reach.consecutive_failures,
            "last_error": reach.last_error,
            "clock_offset": site.gateway.clock_offset_seconds,
            "refunds": site.gateway.can_refund,
            "exchanges": [asdict(each) | {"at": time_text(each.at)} for each in reach.exchanges],
        },
    }
