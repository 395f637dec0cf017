"""An order's events as sentences that a technician reads, in Chinese and English."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kiosk.records import Event
from kiosk.words import price_text

# Texts with braces are for `str.format` with the event's own details; `amount` and `paid` are money as it is read.
_SENTENCES: Mapping[str, Mapping[str, str]] = {
    "en": {
        "created": "Order for {product} over {amount} made ({channel}).",
        "scanned_again": "Scanned again: the same order was given.",
        "ordered_again": "Ordered again before it was paid: the same order was given.",
        "awaiting_payment": "WeChat Pay took the order; it can be paid.",
        "paid": "Paid: {paid}, WeChat's transaction {transaction_id}.",
        "paid_not_to_be_dispensed": "Paid {paid}, but not to be vended: {reason}.",
        "dispensing": "Vend number {attempt} ordered from slot {slot}.",
        "dispensed": "The goods dropped from slot {slot}: {board}.",
        "presumed": "The goods of slot {slot} count as dropped, a person is to look: {board}.",
        "delivery_confirmed": "{who} saw to it that the goods came out.",
        "not_taken": "The board did not take the command: {board}.",
        "not_delivered": "Slot {slot} delivered nothing: {board}.",
        "in_doubt": "Nobody can tell whether slot {slot} delivered: {board}.",
        "refunding": "The money is to go back: {reason}.",
        "refund_requested": "A refund was asked for by {who}.",
        "refunded": "The money is back with the customer (WeChat's refund {refund_id}).",
        "refunded_elsewhere": "The money is back with the customer, sent by another hand than this machine's.",
        "refund_failed": "The refund failed and needs a person: {reason}.",
        "closed": "Closed unpaid: {reason}.",
    },
    "zh_CN": {
        "created": "已创建 {product} 的订单，金额 {amount}（{channel}）。",
        "scanned_again": "再次扫码，沿用同一订单。",
        "ordered_again": "付款前再次下单，沿用同一订单。",
        "awaiting_payment": "微信支付已受理，等待付款。",
        "paid": "已付款 {paid}，微信交易号 {transaction_id}。",
        "paid_not_to_be_dispensed": "已付款 {paid}，但不出货：{reason}。",
        "dispensing": "第 {attempt} 次出货指令，货道 {slot}。",
        "dispensed": "货道 {slot} 已出货：{board}。",
        "presumed": "货道 {slot} 按已出货处理，需人工确认：{board}。",
        "delivery_confirmed": "{who} 确认商品已取到。",
        "not_taken": "主控板没有接受指令：{board}。",
        "not_delivered": "货道 {slot} 未出货：{board}。",
        "in_doubt": "无法确认货道 {slot} 是否出货：{board}。",
        "refunding": "开始退款：{reason}。",
        "refund_requested": "{who} 申请退款。",
        "refunded": "已退款给顾客（微信退款单号 {refund_id}）。",
        "refunded_elsewhere": "款项已由他人（如商户平台）退还给顾客。",
        "refund_failed": "退款失败，需要人工处理：{reason}。",
        "closed": "未付款，已关闭：{reason}。",
    },
}


class _Gaps(dict[str, Any]):
    """Journals of other versions may lack a detail: a dash stands for it."""

    def __missing__(self, key: str) -> str:
        return "–"


def sentence(event: Event, language: str) -> str:
    """What happened, in one sentence; the bare kind for one that this version does not know."""
    details = _Gaps(event.detail)
    if event.slot is not None:
        details["slot"] = event.slot
    for name, fen in (("amount", "amount_fen"), ("paid", "paid_fen")):
        if fen in event.detail:
            details[name] = price_text(event.detail[fen])
    kind = "presumed" if event.detail.get("presumed") else event.kind
    return _SENTENCES[language].get(kind, event.kind.replace("_", " ")).format_map(details)
