"""The books of the simulated WeChat Pay: its orders, payments and refunds, and the rules that it has for them.

Pure: no I/O, no waiting. Every change is a `Fact`; the books are nothing but the sum of their facts, so that facts
written to a file are the books themselves. Rules and words are those of WeChat Pay v2 (unifiedorder 9_1, orderquery
9_2, closeorder 9_3, refund 9_4, refundquery 9_5), and of what merchants report where the documents are silent.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from kiosk.clock import CHINA_STANDARD_TIME, Clock
from kiosk.payments.wechat.fields import parse_time
from kiosk.settings import SignType

CODE_LIFE = timedelta(hours=2)  # of a prepay_id and a code_url, whatever time_expire says
LEAST_LIFE = timedelta(minutes=5)  # time_expire may not be nearer (the older, stricter document)
LIFE_WITHOUT_EXPIRE = timedelta(days=7)  # an order that names no time_expire closes itself
EXPIRY_GRACE = timedelta(seconds=30)  # who is at the password page when time_expire passes can still pay
YOUNG_ORDER = timedelta(minutes=5)  # closeorder answers SUCCESS for a younger order, and does not close it
REFUND_TERM = timedelta(days=365)
MOST_PARTIAL_REFUNDS = 50
BETWEEN_PARTIAL_REFUNDS = timedelta(minutes=1)

# Other values of these make it another sale; of any other parameter, a faulty repeat.
_SALE_FIELDS = frozenset({"appid", "body", "openid", "product_id", "total_fee", "trade_type"})


class Refusal(Exception):
    """WeChat says no. `code` as the error tables have it; `text` is its err_code_des, or what the customer reads."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(f"{code}: {text}")
        self.code = code
        self.text = text


@dataclass(frozen=True)
class Fact:
    """One thing that happened: ordered, coded, entered, closed, paid, refund_accepted or refund_ended."""

    kind: str
    at: datetime  # aware
    out_trade_no: str
    data: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> str:
        """The fact as one line."""
        values = {"kind": self.kind, "at": self.at.isoformat(), "out_trade_no": self.out_trade_no, "data": self.data}
        return json.dumps(values, ensure_ascii=False)

    @classmethod
    def from_json(cls, line: str) -> Fact:
        """The fact in a line."""
        values = json.loads(line)
        return cls(**(values | {"at": datetime.fromisoformat(values["at"])}))


@dataclass(frozen=True)
class Coupon:
    """A voucher that paid a part of the price. CASH ones carry prepaid money, NO_CASH ones do not."""

    kind: str  # CASH | NO_CASH
    fen: int


@dataclass(frozen=True)
class Payment:
    """Money that a customer gave."""

    transaction_id: str
    openid: str
    coupons: tuple[Coupon, ...]
    paid_at: datetime


@dataclass
class Refund:
    """Money that goes back. `status` is PROCESSING, SUCCESS, REFUNDCLOSE or CHANGE."""

    out_refund_no: str
    refund_id: str
    refund_fen: int
    notify_url: str
    accepted_at: datetime
    status: str = "PROCESSING"
    ended_at: datetime | None = None


@dataclass
class Order:
    """One order of a merchant. `fields` is what unifiedorder said of it, without nonce and signature."""

    out_trade_no: str
    fields: Mapping[str, str]
    sign_type: SignType
    created_at: datetime
    prepay_id: str
    code_url: str  # empty unless NATIVE
    coded_at: datetime  # when prepay_id or code_url was made
    entered_by: str = ""  # the customer whose phone has opened the cashier
    entered_at: datetime | None = None
    closed_at: datetime | None = None
    payment: Payment | None = None
    refunds: dict[str, Refund] = field(default_factory=dict)

    @property
    def total_fen(self) -> int:
        """The price."""
        return int(self.fields["total_fee"])

    @property
    def expires_at(self) -> datetime:
        """When it dies unpaid."""
        expire = self.fields.get("time_expire")
        return parse_time(expire) if expire else self.created_at + LIFE_WITHOUT_EXPIRE

    @property
    def claimed_fen(self) -> int:
        """What has gone back or is on its way."""
        return sum(refund.refund_fen for refund in self.refunds.values() if refund.status != "REFUNDCLOSE")


@dataclass(frozen=True)
class Account:
    """What one order has brought and given back."""

    paid_fen: int
    refunded_fen: int  # the customer has it again
    refunding_fen: int  # accepted, not yet with the customer


class Ledger:
    """The books of one merchant at the simulated WeChat.

    `closes_young_orders`: False, as merchants report of the real one: closeorder for an order younger than five
    minutes answers SUCCESS and changes nothing. `balance_fen`: the merchant's money that refunds can be taken from;
    None for as much as is asked for. `listener` hears every fact. Every method may raise `Refusal`.
    """

    def __init__(self, clock: Clock, facts: Sequence[Fact] = ()) -> None:
        self.closes_young_orders = False
        self.balance_fen: int | None = None
        self.listener: Callable[[Fact], None] = lambda _: None
        self._clock = clock
        self._orders: dict[str, Order] = {}
        self._by_transaction: dict[str, Order] = {}
        self._by_prepay: dict[str, Order] = {}
        self._by_code: dict[str, Order] = {}
        self._by_refund: dict[str, Order] = {}
        for fact in facts:
            self._apply(fact)

    # Reading -----------------------------------------------------------------------------------------------

    @property
    def orders(self) -> Mapping[str, Order]:
        """All orders by out_trade_no, oldest first."""
        return self._orders

    def order(self, *, out_trade_no: str = "", transaction_id: str = "") -> Order:
        """The order with that number; WeChat's own number is looked at first."""
        if transaction_id:
            if transaction_id not in self._by_transaction:
                raise Refusal("INVALID_TRANSACTIONID", "无效transaction_id")
            return self._by_transaction[transaction_id]
        if out_trade_no not in self._orders:
            raise Refusal("ORDERNOTEXIST", "此交易订单号不存在")
        return self._orders[out_trade_no]

    def order_of_prepay(self, prepay_id: str) -> Order:
        """The order that a mode-one answer names."""
        if prepay_id not in self._by_prepay:
            raise Refusal("INVALID_PREPAY", "商家订单信息有误，请重新下单支付")
        return self._by_prepay[prepay_id]

    def order_of_code(self, code_url: str) -> Order:
        """The order behind a mode-two code that still holds."""
        order = self._by_code.get(code_url)
        if order is None:
            raise Refusal("UNKNOWN_CODE", "无法识别的二维码")
        if order.code_url != code_url:
            raise Refusal("CODE_REPLACED", "二维码已失效，请重新扫码")
        return order

    def trade_state(self, order: Order) -> str:
        """SUCCESS, REFUND, NOTPAY or CLOSED."""
        if order.payment is not None:
            return "REFUND" if order.refunds else "SUCCESS"
        if order.closed_at is not None or self._clock.now() >= order.expires_at + EXPIRY_GRACE:
            return "CLOSED"
        return "NOTPAY"

    def refund_of(self, out_refund_no: str) -> tuple[Order, Refund]:
        """The refund with that number, and its order."""
        order = self._by_refund.get(out_refund_no)
        if order is None:
            raise Refusal("REFUNDNOTEXIST", "退款不存在")
        return order, order.refunds[out_refund_no]

    def audit(self) -> dict[str, Account]:
        """What every order that was paid has brought and given back, by out_trade_no."""
        return {
            number: Account(
                order.total_fen,
                sum(refund.refund_fen for refund in order.refunds.values() if refund.status == "SUCCESS"),
                sum(refund.refund_fen for refund in order.refunds.values() if refund.status == "PROCESSING"),
            )
            for number, order in self._orders.items()
            if order.payment is not None
        }

    # The merchant ------------------------------------------------------------------------------------------

    def place(self, fields: Mapping[str, str], sign_type: SignType) -> Order:
        """unifiedorder: a new order, or the same one again when every parameter is the same."""
        kept = {
            name: value for name, value in fields.items() if value and name not in {"nonce_str", "sign", "sign_type"}
        }
        number = kept["out_trade_no"]
        native = kept["trade_type"] == "NATIVE"
        old = self._orders.get(number)
        if old is not None:
            self._check_repeat(old, kept)
            if native or self._clock.now() >= old.coded_at + CODE_LIFE:
                self._book("coded", number, prepay_id=old.prepay_id, code_url=_new_code_url() if native else "")
            return old
        now = self._clock.now()
        if "time_expire" in kept and parse_time(kept["time_expire"]) < now + LEAST_LIFE:
            raise Refusal("PARAM_ERROR", "time_expire距离当前时间不足5分钟")
        self._book(
            "ordered",
            number,
            fields=kept,
            sign_type=sign_type.value,
            prepay_id=f"wx{_digits(now, '%d%H%M%S')}{secrets.token_hex(10)}",
            code_url=_new_code_url() if native else "",
        )
        return self._orders[number]

    def close(self, out_trade_no: str) -> None:
        """Closeorder. A young order is left open, see the class."""
        order = self.order(out_trade_no=out_trade_no)
        if order.payment is not None:
            raise Refusal("ORDERPAID", "该订单已支付")
        if self.trade_state(order) == "CLOSED":
            raise Refusal("ORDERCLOSED", "该订单已关闭")
        if self.closes_young_orders or self._clock.now() >= order.created_at + YOUNG_ORDER:
            self._book("closed", out_trade_no)

    def refund(self, fields: Mapping[str, str]) -> Refund:
        """Take a refund; the same out_refund_no is taken once. It is PROCESSING until `end_refund`."""
        names = {name: fields.get(name, "") for name in ("out_trade_no", "transaction_id")}
        order = self.order(**names)
        refund_no, refund_fen = fields["out_refund_no"], int(fields["refund_fee"])
        if order.payment is None:
            raise Refusal("ERROR", "订单未支付，不能退款")
        if int(fields["total_fee"]) != order.total_fen:
            raise Refusal("INVALID_REQUEST", "订单金额与之前请求不一致，请核实后再试")
        if refund_no in self._by_refund:
            other, known = self.refund_of(refund_no)
            if other is not order:
                raise Refusal("INVALID_REQUEST", "商户退款单号已用于另一笔订单")
            if known.refund_fen != refund_fen:
                raise Refusal("REFUND_FEE_MISMATCH", "退款金额与之前请求不一致")
            return known
        self._check_new_refund(order, order.payment, refund_fen)
        self._book(
            "refund_accepted",
            order.out_trade_no,
            out_refund_no=refund_no,
            refund_id=f"50{secrets.randbelow(10**6):06}{_digits(self._clock.now())}{secrets.randbelow(10**13):013}",
            refund_fen=refund_fen,
            notify_url=fields.get("notify_url", ""),
        )
        return order.refunds[refund_no]

    def end_refund(self, out_refund_no: str, status: str = "SUCCESS") -> None:
        """The money is back (SUCCESS), the refund failed for good (REFUNDCLOSE), or the account is gone (CHANGE)."""
        order, refund = self.refund_of(out_refund_no)
        if refund.status != "PROCESSING":
            raise ValueError(f"the refund {out_refund_no} has already ended: {refund.status}")
        self._book("refund_ended", order.out_trade_no, out_refund_no=out_refund_no, status=status)

    # The customer ------------------------------------------------------------------------------------------

    def enter(self, order: Order, openid: str) -> None:
        """Open the cashier on a customer's phone; from then on nobody else can pay this order."""
        self._check_payable(order, openid)
        if not order.entered_by:
            self._book("entered", order.out_trade_no, openid=openid)

    def pay(self, order: Order, openid: str, coupons: Sequence[Coupon] = ()) -> Payment:
        """Take the customer's money."""
        self.enter(order, openid)
        if sum(coupon.fen for coupon in coupons) > order.total_fen:
            raise ValueError("the coupons are worth more than the order")
        self._book(
            "paid",
            order.out_trade_no,
            transaction_id=f"42000{secrets.randbelow(10**5):05}{_digits(self._clock.now())}"
            f"{secrets.randbelow(10**10):010}",
            openid=openid,
            coupons=[[coupon.kind, coupon.fen] for coupon in coupons],
        )
        assert order.payment is not None  # noqa: S101 - the fact just booked says so
        return order.payment

    # Rules -------------------------------------------------------------------------------------------------

    def _check_repeat(self, old: Order, kept: Mapping[str, str]) -> None:
        if old.payment is not None:
            raise Refusal("ORDERPAID", "该订单已支付")
        if self.trade_state(old) == "CLOSED":
            raise Refusal("ORDERCLOSED", "该订单已关闭")
        different = {name for name in {*old.fields, *kept} if old.fields.get(name) != kept.get(name)}
        if different & _SALE_FIELDS:
            raise Refusal("OUT_TRADE_NO_USED", "商户订单号重复")
        if different:
            raise Refusal("INVALID_REQUEST", "201 商户订单号重复")

    def _check_new_refund(self, order: Order, payment: Payment, refund_fen: int) -> None:
        now = self._clock.now()
        if now > payment.paid_at + REFUND_TERM:
            raise Refusal("TRADE_OVERDUE", "订单已经超过退款期限")
        if order.claimed_fen + refund_fen > order.total_fen:
            raise Refusal("INVALID_REQUEST", "退款金额大于订单可退金额")
        live = [refund for refund in order.refunds.values() if refund.status != "REFUNDCLOSE"]
        if len(live) >= MOST_PARTIAL_REFUNDS:
            raise Refusal("INVALID_REQUEST", "部分退款次数超过50次")
        if live and now < live[-1].accepted_at + BETWEEN_PARTIAL_REFUNDS:
            raise Refusal("FREQUENCY_LIMITED", "同一笔订单的退款请求间隔不足1分钟")
        if self.balance_fen is not None and refund_fen > self.balance_fen:
            raise Refusal("NOTENOUGH", "基本账户余额不足，请充值后重新发起")

    def _check_payable(self, order: Order, openid: str) -> None:
        now = self._clock.now()
        if order.payment is not None:
            raise Refusal("ORDERPAID", "该订单已支付，请勿重复支付")
        if self.trade_state(order) == "CLOSED":
            raise Refusal("ORDERCLOSED", "订单已关闭，请重新扫码")
        if order.fields["trade_type"] == "JSAPI" and order.fields["openid"] != openid:
            raise Refusal("OTHER_CUSTOMER", "商家订单信息有误，请重新下单支付")
        if order.entered_by not in ("", openid):
            raise Refusal("OTHER_CUSTOMER", "商家订单信息有误，请重新下单支付")
        at_password_page = order.entered_at is not None and order.entered_at < order.expires_at
        if now >= order.expires_at and not at_password_page:
            raise Refusal("ORDEREXPIRED", "订单已过期，请重新扫码")
        if now >= order.coded_at + CODE_LIFE:
            raise Refusal("CODE_EXPIRED", "二维码已过期，请重新扫码")

    # Facts -------------------------------------------------------------------------------------------------

    def _book(self, kind: str, out_trade_no: str, **data: Any) -> None:
        fact = Fact(kind, self._clock.now(), out_trade_no, data)
        self._apply(fact)
        self.listener(fact)

    def _apply(self, fact: Fact) -> None:
        data = fact.data
        if fact.kind == "ordered":
            self._keep(
                Order(
                    fact.out_trade_no,
                    data["fields"],
                    SignType(data["sign_type"]),
                    fact.at,
                    data["prepay_id"],
                    data["code_url"],
                    fact.at,
                )
            )
            return
        order = self._orders[fact.out_trade_no]
        match fact.kind:
            case "coded":
                order.prepay_id, order.code_url, order.coded_at = data["prepay_id"], data["code_url"], fact.at
                self._keep(order)
            case "entered":
                order.entered_by, order.entered_at = data["openid"], fact.at
            case "closed":
                order.closed_at = fact.at
            case "paid":
                coupons = tuple(Coupon(kind, fen) for kind, fen in data["coupons"])
                order.payment = Payment(data["transaction_id"], data["openid"], coupons, fact.at)
                self._by_transaction[data["transaction_id"]] = order
            case "refund_accepted":
                number = data["out_refund_no"]
                order.refunds[number] = Refund(
                    number, data["refund_id"], data["refund_fen"], data["notify_url"], fact.at
                )
                self._by_refund[number] = order
                if self.balance_fen is not None:
                    self.balance_fen -= data["refund_fen"]
            case "refund_ended":
                refund = order.refunds[data["out_refund_no"]]
                refund.status, refund.ended_at = data["status"], fact.at
                if self.balance_fen is not None and refund.status == "REFUNDCLOSE":
                    self.balance_fen += refund.refund_fen
            case _:
                raise ValueError(f"the books have no fact {fact.kind!r}")

    def _keep(self, order: Order) -> None:
        self._orders[order.out_trade_no] = order
        self._by_prepay[order.prepay_id] = order
        if order.code_url:
            self._by_code[order.code_url] = order


def _digits(moment: datetime, rest: str = "%d") -> str:
    return moment.astimezone(CHINA_STANDARD_TIME).strftime(f"%Y%m{rest}")


def _new_code_url() -> str:
    return f"weixin://wxpay/bizpayurl?pr={secrets.token_urlsafe(7)[:9]}zz"
