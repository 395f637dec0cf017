"""The bill of the simulated WeChat Pay (downloadbill, chapter 9_6): its own books of one day, as text."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

from kiosk.clock import CHINA_STANDARD_TIME
from kiosk.simulation.ledger import Ledger, Order, Refund, Refusal

MADE_FROM_HOUR = 9  # of the next day, China time
KEPT_DAYS = 92  # three months
FEE_RATE = "0.60%"

TITLES = (
    "交易时间,公众账号ID,商户号,特约商户号,设备号,微信订单号,商户订单号,用户标识,交易类型,交易状态,付款银行,货币种类,"
    "应结订单金额,代金券金额,微信退款单号,商户退款单号,退款金额,充值券退款金额,退款类型,退款状态,商品名称,商户数据包,"
    "手续费,费率,订单金额,申请退款金额,费率备注"
)
SUM_TITLES = "总交易单数,应结订单总金额,退款总金额,充值券退款总金额,手续费总金额,订单总金额,申请退款总金额"
_REFUND_STATES = {"SUCCESS": "SUCCESS", "PROCESSING": "PROCESSING", "REFUNDCLOSE": "FAIL", "CHANGE": "CHANGE"}


def bill(ledger: Ledger, mch_id: str, bill_date: str, now: datetime) -> bytes:
    """The bill of a day (8 digits, China time) as it is sent. Raises `Refusal` with the words of the real one."""
    try:
        begin = datetime.strptime(bill_date, "%Y%m%d").replace(tzinfo=CHINA_STANDARD_TIME)
    except ValueError:
        raise Refusal("20001", "data format error") from None
    end = begin + timedelta(days=1)
    if now < end + timedelta(hours=MADE_FROM_HOUR):
        raise Refusal("20002", "Bill Creating")
    rows: list[tuple[datetime, list[str]]] = []
    paid_fen = refunded_fen = 0
    for order in ledger.orders.values():
        if order.payment is not None and begin <= order.payment.paid_at < end:
            rows.append((order.payment.paid_at, _row(order, mch_id)))
            paid_fen += order.total_fen
        for refund in order.refunds.values():
            if begin <= refund.accepted_at < end:
                rows.append((refund.accepted_at, _row(order, mch_id, refund)))
                refunded_fen += refund.refund_fen
    if not rows or now > end + timedelta(days=KEPT_DAYS):
        raise Refusal("20002", "No Bill Exist")
    paid, refunded = _yuan(paid_fen), _yuan(refunded_fen)
    sums = [str(len(rows)), paid, refunded, "0.00", "0.00000", paid, refunded]
    lines = [TITLES, *(_ticked(values) for _, values in sorted(rows)), SUM_TITLES, _ticked(sums)]
    return b"\xef\xbb\xbf" + "".join(f"{line}\r\n" for line in lines).encode()


def _row(order: Order, mch_id: str, refund: Refund | None = None) -> list[str]:
    return list(_values(order, mch_id, refund))


def _values(order: Order, mch_id: str, refund: Refund | None) -> Iterator[str]:
    payment, fields = order.payment, order.fields
    at = refund.accepted_at if refund is not None else payment.paid_at if payment is not None else order.created_at
    coupons = sum(coupon.fen for coupon in payment.coupons if coupon.kind == "NO_CASH") if payment is not None else 0
    yield f"{at.astimezone(CHINA_STANDARD_TIME):%Y-%m-%d %H:%M:%S}"
    yield from (fields["appid"], mch_id, "0", fields.get("device_info", ""))
    yield from (payment.transaction_id if payment is not None else "", order.out_trade_no)
    yield from (payment.openid if payment is not None else "", fields["trade_type"])
    yield from ("SUCCESS" if refund is None else "REFUND", "OTHERS", "CNY")
    if refund is None:
        yield from (_yuan(order.total_fen - coupons), _yuan(coupons), "0", "0", "0.00", "0.00", "", "")
    else:
        back = _yuan(refund.refund_fen)
        yield from ("0.00", "0.00", refund.refund_id, refund.out_refund_no, back, "0.00", "ORIGINAL")
        yield _REFUND_STATES[refund.status]
    yield from (fields["body"], fields.get("attach", ""), "0.00000", FEE_RATE)
    yield _yuan(order.total_fen) if refund is None else "0.00"
    yield _yuan(refund.refund_fen) if refund is not None else "0.00"
    yield ""


def _ticked(values: list[str]) -> str:
    """As the bill has its values: a back-tick before each, so that long numbers stay text in a spreadsheet."""
    return ",".join(f"`{value}" for value in values)


def _yuan(fen: int) -> str:
    return f"{fen // 100}.{fen % 100:02d}"
