"""WeChat Pay v2 as a PaymentGateway: which call, which fields, and what each answer means for an order."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import timedelta

from kiosk.clock import Clock
from kiosk.payments.gateway import (
    Closed,
    Missing,
    NotPaid,
    Paid,
    Prepared,
    PrepayRequest,
    Reachability,
    RefundAccepted,
    Refunded,
    RefundFailed,
    RefundPending,
    RefundRequest,
    RefundSum,
    Refused,
    Unclear,
)
from kiosk.payments.wechat import fields as values
from kiosk.payments.wechat.client import Answer, Client, Denied, Failed, Limits, NoAnswer, Succeeded
from kiosk.settings import WeChatPaySettings

MAX_BODY_BYTES = 127  # the documents say 127 here and 128 there, and not of what: the smaller, in bytes, fits always
MAX_REFUND_REASON_BYTES = 80
# WeChat refuses a time_expire less than 5 minutes away. A minute more: a repeat, or its clock, may be a little late.
LEAST_LIFE = timedelta(minutes=6)
LONGEST_LIFE = timedelta(hours=2)  # of a prepay_id and a code_url, whatever time_expire says

# unifiedorder demands a notify_url also of a machine that nothing can reach. A name under .invalid has the right form
# and, by RFC 6761, never an owner: WeChat's notifications end nowhere, and orderquery finds the payment. WeChat could
# refuse an address of localhost, and a real name would tell its owner of every payment.
NOBODY = "https://kiosk.invalid"

_OUT_TRADE_NO = re.compile(r"[A-Za-z0-9_\-|*]{6,32}")
# Asking again unchanged is no use: a person has to mend the configuration, the program, or this order.
_PERMANENT = frozenset(
    {
        "APPID_MCHID_NOT_MATCH",
        "APPID_NOT_EXIST",
        "CERT_ERROR",
        "ERROR",
        "INVALID_REQUEST",
        "INVALID_TRANSACTIONID",
        "LACK_PARAMS",
        "MCHID_NOT_EXIST",
        "NOAUTH",
        "NOT_UTF8",
        "NO_AUTH",
        "ORDERCLOSED",
        "ORDERNOTEXIST",
        "ORDERPAID",
        "OUT_TRADE_NO_USED",
        "PARAM_ERROR",
        "POST_DATA_EMPTY",
        "REFUND_FEE_MISMATCH",
        "REQUIRE_POST_METHOD",
        "SIGNERROR",
        "TRADE_OVERDUE",
        "TRADE_STATE_ERROR",
        "USER_ACCOUNT_ABNORMAL",
        "XML_FORMAT_ERROR",
    }
)
# return_code FAIL mostly comes without a code; these words in its return_msg mean a fault that stays.
_PERMANENT_WORDS = ("签名", "sign", "appid", "mch_id", "商户号", "权限", "证书", "参数", "格式", "xml")


class WeChatGateway:
    """The `PaymentGateway` of one merchant and one machine.

    Orders of the mini-program are made under its app id, all others under the merchant's. WeChat keeps numbers apart
    by merchant, not by app; questions, closings and refunds carry the app id of the order all the same.

    Everything in a unifiedorder comes from its `PrepayRequest`, nothing from the clock: WeChat takes the repeat of an
    order only if all its parameters are the same.
    """

    def __init__(
        self,
        settings: WeChatPaySettings,
        *,
        shop_name: str,
        machine_id: str,
        miniprogram_app_id: str | None,
        clock: Clock,
        limits: Limits | None = None,
    ) -> None:
        self._settings = settings
        self._shop_name = shop_name
        self._machine_id = machine_id
        self._miniprogram_app_id = miniprogram_app_id
        app_ids = frozenset(app_id for app_id in (settings.app_id, miniprogram_app_id) if app_id)
        self._client = Client(settings, app_ids=app_ids, clock=clock, limits=limits or Limits())

    @property
    def can_refund(self) -> bool:
        """Whether refunds can be asked for by program: both files of the client certificate are configured."""
        return self._settings.client_cert_file is not None and self._settings.client_key_file is not None

    @property
    def reachability(self) -> Reachability:
        """How the line is doing now."""
        return self._client.reachability

    @property
    def clock_offset_seconds(self) -> float | None:
        """WeChat's clock minus ours, from the Date of its last answer (whole seconds); None before the first."""
        return self._client.clock_offset_seconds

    async def prepay(self, request: PrepayRequest, *, urgent: bool) -> Prepared | Refused | Unclear:
        """Order by unifiedorder: NATIVE, or JSAPI when the request has an openid."""
        mistake = self._mistake(request)
        if mistake is not None:
            return Refused("PARAM_ERROR", mistake, permanent=True)
        order = self._order_fields(request)
        answer = await self._client.call("/pay/unifiedorder", order, number=request.out_trade_no, urgent=urgent)
        match answer:
            case Succeeded(fields):
                prepay_id, code_url = fields.get("prepay_id"), fields.get("code_url") or None
                if not prepay_id or (request.openid is None and code_url is None):
                    return Unclear("WeChat Pay's answer lacks the prepay_id or the code_url")
                if fields.get("trade_type") != order["trade_type"]:
                    return Unclear("WeChat Pay's answer is for another kind of order")
                return Prepared(prepay_id, code_url if request.openid is None else None)
            case Failed() | Denied():
                return _refused(answer)
            case NoAnswer(reason):
                return Unclear(reason)

    async def query(self, out_trade_no: str, app_id: str) -> Paid | NotPaid | Closed | Missing | Unclear:
        """Ask by orderquery."""
        fields = {"appid": app_id, "out_trade_no": out_trade_no}
        answer = await self._client.call("/pay/orderquery", fields, number=out_trade_no)
        match answer:
            case Succeeded(received):
                return _order_state(received, out_trade_no)
            case Failed("ORDERNOTEXIST"):
                return Missing()
            case _:
                return _unclear(answer)

    async def close(self, out_trade_no: str, app_id: str) -> Closed | Paid | Missing | Unclear:
        """Close by closeorder; an order that turns out to be paid is queried at once."""
        fields = {"appid": app_id, "out_trade_no": out_trade_no}
        answer = await self._client.call("/pay/closeorder", fields, number=out_trade_no)
        match answer:
            case Succeeded() | Failed("ORDERCLOSED"):
                return Closed()
            case Failed("ORDERNOTEXIST"):
                return Missing()
            case Failed("ORDERPAID"):
                found = await self.query(out_trade_no, app_id)
                if isinstance(found, Paid | Unclear):
                    return found
                return Unclear(
                    "WeChat Pay would not close the order because it was paid, and then did not call it paid"
                )
            case _:
                return _unclear(answer)

    async def refund(self, request: RefundRequest) -> RefundAccepted | Refused | Unclear:
        """Refund, with the client certificate."""
        if not self.can_refund:
            return Refused(
                "NO_CERTIFICATE", "client_cert_file and client_key_file are not configured", permanent=True
            )
        fields = {
            "appid": request.app_id,
            "transaction_id": request.transaction_id,
            "out_refund_no": request.out_refund_no,
            "total_fee": str(request.total_fen),
            "refund_fee": str(request.refund_fen),
            "refund_desc": values.cut(request.reason, MAX_REFUND_REASON_BYTES),
        }
        if self._settings.public_url is not None:
            fields["notify_url"] = self._settings.public_url + values.REFUND_NOTIFY_PATH
        answer = await self._client.call("/secapi/pay/refund", fields, number=request.out_refund_no)
        match answer:
            case Succeeded(received):
                ours = (request.out_trade_no, request.out_refund_no, str(request.refund_fen))
                if tuple(received.get(name) for name in ("out_trade_no", "out_refund_no", "refund_fee")) != ours:
                    return Unclear("WeChat Pay's answer is for another refund")
                return RefundAccepted()
            case Failed() | Denied():
                return _refused(answer)
            case NoAnswer(reason):
                return Unclear(reason)

    async def query_refund(
        self, out_refund_no: str, app_id: str
    ) -> Refunded | RefundPending | RefundFailed | Missing | Unclear:
        """Ask by refundquery."""
        fields = {"appid": app_id, "out_refund_no": out_refund_no}
        answer = await self._client.call("/pay/refundquery", fields, number=out_refund_no)
        match answer:
            case Succeeded(received):
                return _refund_state(received, out_refund_no)
            case Failed("REFUNDNOTEXIST"):
                return Missing()
            case _:
                return _unclear(answer)

    async def query_refunds(self, out_trade_no: str, app_id: str) -> RefundSum | Unclear:
        """Ask by refundquery for all refunds of an order; no certificate is needed for it."""
        fields = {"appid": app_id, "out_trade_no": out_trade_no}
        answer = await self._client.call("/pay/refundquery", fields, number=out_trade_no)
        match answer:
            case Succeeded(received):
                return _refund_sum(received, out_trade_no)
            case Failed("REFUNDNOTEXIST"):
                return RefundSum(0, 0)
            case _:
                return _unclear(answer)

    async def aclose(self) -> None:
        """Let calls under way end, then free threads and connections."""
        await self._client.aclose()

    def _mistake(self, request: PrepayRequest) -> str | None:
        if not _OUT_TRADE_NO.fullmatch(request.out_trade_no):
            return f"{request.out_trade_no!r} is no out_trade_no: 6 to 32 of A-Z a-z 0-9 _ - | *"
        if request.amount_fen < 1:
            return f"order {request.out_trade_no} costs {request.amount_fen} fen; the least is 1"
        if request.openid is not None and self._miniprogram_app_id is None:
            return f"order {request.out_trade_no} is for a mini-program, but none is configured"
        return None

    def _order_fields(self, request: PrepayRequest) -> dict[str, str]:
        expires_at = min(
            max(request.expires_at, request.created_at + LEAST_LIFE),
            request.created_at + LONGEST_LIFE,
        )
        order = {
            "appid": self._settings.app_id,
            "device_info": self._machine_id,
            "body": values.cut(self._body(request.description), MAX_BODY_BYTES),
            "out_trade_no": request.out_trade_no,
            "total_fee": str(request.amount_fen),
            "spbill_create_ip": request.client_ip,
            "time_start": values.format_time(request.created_at),
            "time_expire": values.format_time(expires_at),
            "notify_url": (self._settings.public_url or NOBODY) + values.NOTIFY_PATH,
            "trade_type": "NATIVE",
            "product_id": request.product_id,
        }
        if request.openid is not None and self._miniprogram_app_id is not None:
            order |= {"trade_type": "JSAPI", "appid": self._miniprogram_app_id, "openid": request.openid}
        return order

    def _body(self, description: str) -> str:
        """The form that WeChat demands, shop-goods; a description that names the shop first is left as it is."""
        return description if description.startswith(self._shop_name) else f"{self._shop_name}-{description}"


def _refused(answer: Failed | Denied) -> Refused:
    permanent = answer.code in _PERMANENT or (
        isinstance(answer, Denied) and any(word in answer.message.lower() for word in _PERMANENT_WORDS)
    )
    return Refused(answer.code, answer.message, permanent=permanent)


def _unclear(answer: Answer) -> Unclear:
    match answer:
        case Failed(code, message) | Denied(code, message):
            return Unclear(f"WeChat Pay answered {code}: {message}")
        case NoAnswer(reason):
            return Unclear(reason)
        case Succeeded():
            return Unclear("WeChat Pay's answer does not fit the question")


def _order_state(fields: Mapping[str, str], out_trade_no: str) -> Paid | NotPaid | Closed | Unclear:
    # An order that is not paid may come back without most of its fields.
    if fields.get("out_trade_no", out_trade_no) != out_trade_no:
        return Unclear("WeChat Pay's answer is for another order")
    state = fields.get("trade_state", "")
    match state:
        case "SUCCESS" | "REFUND":
            try:
                return Paid(values.payment(fields), refunded=state == "REFUND")
            except ValueError as error:
                return Unclear(f"WeChat Pay says that the order is paid, but {error}")
        case "NOTPAY" | "USERPAYING" | "ACCEPT" | "PAYERROR":
            return NotPaid()
        case "CLOSED" | "REVOKED":
            return Closed()
        case _:
            return Unclear(f"WeChat Pay calls the order's state {values.one_line(state)!r}")


def _refund_state(
    fields: Mapping[str, str], out_refund_no: str
) -> Refunded | RefundPending | RefundFailed | Missing | Unclear:
    """The refunds of an order come numbered from 0; which of them is ours only its number tells."""
    for name, value in fields.items():
        if value != out_refund_no or not name.startswith("out_refund_no_"):
            continue
        index = name.removeprefix("out_refund_no_")
        status, refund_id = fields.get(f"refund_status_{index}", ""), fields.get(f"refund_id_{index}", "")
        match status:
            case "PROCESSING":
                return RefundPending()
            case "NOTSURE":  # an old state: WeChat is not sure that it has it, and wants it sent again as it was
                return Missing()
            case _:
                unknown = Unclear(f"WeChat Pay calls the refund's state {values.one_line(status)!r}")
                return values.refund_end(status, refund_id) or unknown
    return Unclear("WeChat Pay's answer does not name the refund")


def _refund_sum(fields: Mapping[str, str], out_trade_no: str) -> RefundSum | Unclear:
    """Sum up what a refundquery by order tells: at most ten refunds (chapter 9_5); a machine makes one."""
    if fields.get("out_trade_no") != out_trade_no:
        return Unclear("WeChat Pay's answer is for another order")
    sums = {"SUCCESS": 0, "PROCESSING": 0}
    for name, status in fields.items():
        index = name.removeprefix("refund_status_")
        if index == name or status not in sums:
            continue
        try:
            sums[status] += values.parse_fen(fields.get(f"refund_fee_{index}", ""))
        except ValueError as error:
            return Unclear(f"WeChat Pay tells of a refund, but {error}")
    return RefundSum(done_fen=sums["SUCCESS"], pending_fen=sums["PROCESSING"])
