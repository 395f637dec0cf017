"""Every no that the mini-program can get: a code for programs, a status of HTTP, and words for the customer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Refusal:
    """One no. `zh_CN` and `en` are what the customer reads when the mini-program has no better words."""

    status: int
    zh_CN: str  # noqa: N815 - named as the languages of kiosk.ini are
    en: str


REFUSALS: Mapping[str, Refusal] = {
    "bad_request": Refusal(400, "请求有误", "This request cannot be understood"),
    "unauthorized": Refusal(401, "请重新登录", "Please log in again"),
    "bad_code": Refusal(401, "登录凭证无效，请重新登录", "This log-in has expired: please log in again"),
    "blocked_user": Refusal(403, "该微信账号暂时无法登录", "WeChat does not let this account log in at the moment"),
    "not_found": Refusal(404, "没有找到", "There is no such thing here"),
    "unknown_order": Refusal(404, "没有这个订单", "You have no such order"),
    "unknown_product": Refusal(404, "本机没有这种商品", "This machine does not sell that"),
    "not_allowed": Refusal(405, "请求有误", "This cannot be done in this way"),
    "sold_out": Refusal(409, "已售罄", "Sold out"),
    "order_closed": Refusal(409, "订单已关闭，请重新下单", "This order is closed: please make a new one"),
    "order_paid": Refusal(409, "订单已付款", "This order has been paid"),
    "too_many_unpaid": Refusal(409, "未付款的订单太多，请先付款", "Too many unpaid orders: please pay them first"),
    "too_often": Refusal(429, "操作太频繁，请稍后再试", "Too many requests: please wait a moment"),
    "error": Refusal(500, "出错了，请稍后再试", "Something went wrong: please try again later"),
    "out_of_service": Refusal(503, "暂停服务", "Out of service"),
    "busy": Refusal(503, "微信繁忙，请稍后再试", "WeChat is busy: please try again in a moment"),
    "try_again": Refusal(503, "系统繁忙，请稍后再试", "Busy at the moment: please try again in a moment"),
    "misconfigured": Refusal(503, "暂时无法登录", "Logging in does not work at the moment"),
}
