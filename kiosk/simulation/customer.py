"""The customer's side of the simulated WeChat: scan a code, look at the cashier, pay or leave.

Native mode one: chapter 6_4 (link, scan callback, its reply). What the phone says when it goes wrong is what
merchants report of the real one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from urllib.parse import parse_qsl, urlsplit

from kiosk.payments.wechat import xml
from kiosk.payments.wechat.signature import nonce, sign, verify
from kiosk.settings import SignType
from kiosk.simulation.ledger import Coupon, Ledger, Order, Payment, Refusal
from kiosk.simulation.messages import Merchant
from kiosk.simulation.postman import Postman

CUSTOMER = "oUpF8uMEb4qRXf22hE3X68TekukE"  # the openid of whoever holds the simulated phone
BAD_LINK = "原生支付URL参数错误"
NO_ANSWER = "获取商户订单信息超时或者商户返回的httpcode非200"
BAD_ANSWER = "商户返回的订单信息有误"


@dataclass(frozen=True)
class Cashier:
    """What the phone shows before the password."""

    out_trade_no: str
    shop: str
    goods: str
    amount_fen: int
    openid: str


@dataclass(frozen=True)
class Told:
    """What the phone says instead. `code` is stable; `text` is what the customer reads."""

    code: str
    text: str


class Customers:
    """Everybody with WeChat on the phone. `noted(kind, out_trade_no, what)` hears scanned, told and cancelled."""

    def __init__(
        self,
        ledger: Ledger,
        merchant: Merchant,
        postman: Postman,
        noted: Callable[[str, str, str], None],
    ) -> None:
        self._ledger = ledger
        self._merchant = merchant
        self._postman = postman
        self._noted = noted

    async def scan(self, code: str, openid: str = CUSTOMER) -> Cashier | Told:
        """Scan what a QR code says: the cashier opens, or the phone says why not."""
        link = urlsplit(code)
        static = (link.scheme, link.netloc, link.path) == ("weixin", "wxpay", "/bizpayurl") and "sign=" in link.query
        try:
            order = await self._scan_link(link.query, openid) if static else self._ledger.order_of_code(code)
            self._ledger.enter(order, openid)
        except Refusal as refusal:
            self._noted("told", "", refusal.text)
            return Told(refusal.code, refusal.text)
        self._noted("scanned", order.out_trade_no, order.fields["body"])
        shop, _, goods = order.fields["body"].partition("-")  # a shop's name has no dash, a drink's may
        return Cashier(order.out_trade_no, shop, goods or shop, order.total_fen, openid)

    def pay(self, out_trade_no: str, openid: str = CUSTOMER, coupons: Sequence[Coupon] = ()) -> Payment | Told:
        """Type the password. The money is taken at once; the merchant hears of it by notification."""
        try:
            return self._ledger.pay(self._ledger.order(out_trade_no=out_trade_no), openid, coupons)
        except Refusal as refusal:
            self._noted("told", out_trade_no, refusal.text)
            return Told(refusal.code, refusal.text)

    def cancel(self, out_trade_no: str) -> None:
        """Leave the cashier. WeChat tells nobody; the order stays open."""
        self._noted("cancelled", out_trade_no, "")

    async def _scan_link(self, query: str, openid: str) -> Order:
        """Mode one: ask the merchant for an order."""
        merchant = self._merchant
        fields = dict(parse_qsl(query, keep_blank_values=True))
        known = fields.keys() == {"appid", "mch_id", "nonce_str", "product_id", "time_stamp", "sign"}
        ours = fields.get("mch_id") == merchant.mch_id and fields.get("appid") in merchant.app_ids
        if not (known and ours and verify(fields, merchant.api_key, SignType.MD5)):
            raise Refusal("BAD_LINK", BAD_LINK)
        if len(fields["product_id"].encode()) > 32 or not fields["product_id"]:
            raise Refusal("BAD_LINK", BAD_LINK)
        question = {
            "appid": fields["appid"],
            "openid": openid,
            "mch_id": merchant.mch_id,
            "is_subscribe": "N",
            "nonce_str": nonce(),
            "product_id": fields["product_id"],
        }
        question["sign"] = sign(question, merchant.api_key, SignType.MD5)
        reply = await self._postman.post(merchant.scan_url, xml.build(question))
        if reply is None or reply.code != 200:
            raise Refusal("NO_ANSWER", NO_ANSWER)
        return self._order_in(reply.body)

    def _order_in(self, body: bytes) -> Order:
        """The order that the merchant's reply to a scan names."""
        try:
            answer = xml.parse(body)
        except xml.XmlRefused:
            raise Refusal("BAD_ANSWER", BAD_ANSWER) from None
        if answer.get("return_code") != "SUCCESS":
            raise Refusal("BAD_ANSWER", BAD_ANSWER)
        if not verify(answer, self._merchant.api_key, SignType.MD5):
            raise Refusal("BAD_ANSWER", BAD_ANSWER)
        if answer.get("mch_id") != self._merchant.mch_id or answer.get("appid") not in self._merchant.app_ids:
            raise Refusal("BAD_ANSWER", BAD_ANSWER)
        if not answer.get("nonce_str") or "prepay_id" not in answer:
            raise Refusal("BAD_ANSWER", BAD_ANSWER)
        if answer.get("result_code") != "SUCCESS":
            raise Refusal("REFUSED_BY_MERCHANT", answer.get("err_code_des", "") or BAD_ANSWER)
        order = self._ledger.order_of_prepay(answer["prepay_id"])
        if order.fields["trade_type"] != "NATIVE":
            raise Refusal("BAD_ANSWER", BAD_ANSWER)
        return order
