"""What happened to an order or to the machine, as sentences that a technician reads, in Chinese and English."""

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
        "slot_added": "Slot {slot} is new: {product}, {delta} by its capacity.",
        "restock": "{who}: slot {slot} holds {stock} now ({delta}).",
        "enable": "{who}: slot {slot} is on sale again.",
        "disable": "{who}: slot {slot} is off sale.",
        "test_vend": "{who}: test vend of slot {slot} ordered ({delta}).",
        "test_vend_delivered": "The test vend of slot {slot} delivered.",
        "test_vend_not_delivered": "The test vend of slot {slot} delivered nothing ({delta}).",
        "test_vend_unknown": "Nobody can tell whether the test vend of slot {slot} delivered.",
        "switch_out_of_service": "{who}: out of service. Customers read: {value}.",
        "switch_out_of_service_off": "{who}: back into service.",
        "switch_language": "{who}: the screen's language was changed ({value}).",
        "screen_test": "{who}: the screen showed the test pattern.",
        "day_closed": "{who}: {date} was closed as number {number}.",
        "settings_reloaded": "Products and slots were taken anew from the ini.",
        "journal_writable_again": "The journal can be written again.",
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
        "slot_added": "新货道 {slot}：{product}，按容量 {delta}。",
        "restock": "{who}：货道 {slot} 现有 {stock} 件（{delta}）。",
        "enable": "{who}：货道 {slot} 恢复售卖。",
        "disable": "{who}：货道 {slot} 停止售卖。",
        "test_vend": "{who}：货道 {slot} 试出货（{delta}）。",
        "test_vend_delivered": "货道 {slot} 试出货成功。",
        "test_vend_not_delivered": "货道 {slot} 试出货未出货（{delta}）。",
        "test_vend_unknown": "无法确认货道 {slot} 试出货是否成功。",
        "switch_out_of_service": "{who}：暂停服务，顾客看到：{value}。",
        "switch_out_of_service_off": "{who}：恢复服务。",
        "switch_language": "{who}：切换了屏幕语言（{value}）。",
        "screen_test": "{who}：显示了屏幕测试画面。",
        "day_closed": "{who}：{date} 已结算，第 {number} 号。",
        "settings_reloaded": "已重新读取配置中的商品和货道。",
        "journal_writable_again": "账本恢复可写。",
    },
}


class _Gaps(dict[str, Any]):
    """Journals of other versions may lack a detail: a dash stands for it."""

    def __missing__(self, key: str) -> str:
        return "–"


def sentence(event: Event, language: str) -> str:
    """What happened, in one sentence; the bare kind for one that this version does not know."""
    details = _Gaps(event.detail, delta=f"{event.stock_delta:+d}")
    if event.slot is not None:
        details["slot"] = event.slot
    for name, fen in (("amount", "amount_fen"), ("paid", "paid_fen")):
        if fen in event.detail:
            details[name] = price_text(event.detail[fen])
    kind = event.kind
    if event.detail.get("presumed"):
        kind = "presumed"
    elif event.detail.get("value") == "":
        kind = f"{kind}_off"
    return _SENTENCES[language].get(kind, event.kind.replace("_", " ")).format_map(details)
