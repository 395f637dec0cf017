"""Every no that the technician's page can get: a code for programs, a status of HTTP, a sentence in each language."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tornado import web


@dataclass(frozen=True)
class Refusal:
    """One no. The sentences are for `str.format` with the values of the case."""

    status: int
    en: str
    zh_CN: str  # noqa: N815 - named as the languages of kiosk.ini are


REFUSALS: Mapping[str, Refusal] = {
    "bad_request": Refusal(400, "this request cannot be understood", "请求有误"),
    "bad_body": Refusal(400, "the body must be a JSON object", "请求内容必须是 JSON 对象"),
    "bad_stock": Refusal(
        400,
        "stock must be a whole number from 0 to {capacity}: that is what fits into slot {slot}",
        "货道 {slot} 的库存必须是 0 到 {capacity} 的整数",
    ),
    "bad_notice": Refusal(400, "text must be a text of at most {most} characters", "给顾客看的话最多 {most} 个字符"),
    "bad_language": Refusal(400, "language must be one of {known}", "语言必须是 {known} 之一"),
    "bad_level": Refusal(400, "there is no level {level}; there are {known}", "没有级别 {level}，可选 {known}"),
    "bad_state": Refusal(400, "there is no state {state}; there are {known}", "没有状态 {state}，可选 {known}"),
    "bad_number": Refusal(400, "{name} must be {least} to {most}", "{name} 必须是 {least} 到 {most}"),
    "bad_day": Refusal(400, "{day} is no day: write it as 2026-11-23", "{day} 不是日期，格式为 2026-11-23"),
    "bad_seen": Refusal(
        400,
        'seen must hold the stock that was shown for each slot, as {{"11": 3}}',
        '请附上每个货道当时显示的库存，如 {{"11": 3}}',
    ),
    "no_password_sent": Refusal(400, 'send {{"password"}} within a session', "请在登录后发送密码"),
    "unauthorized": Refusal(
        401,
        "log in first, or send Authorization: Bearer with the token of api_token_file",
        "请先登录",
    ),
    "bad_token": Refusal(401, "this token opens nothing here", "令牌无效"),
    "forbidden": Refusal(403, "this is not allowed", "不允许此操作"),
    "bad_form": Refusal(403, "this page is too old to be believed: load it again", "页面已过期，请重新加载"),
    "foreign_page": Refusal(
        403, "this change was asked for by a page of another site", "此操作来自其他网站的页面，已拒绝"
    ),
    "prove_it": Refusal(403, "give the password again for this", "此操作需要再次输入密码"),
    "wrong_password": Refusal(403, "that is not the password", "密码错误"),
    "not_found": Refusal(404, "there is nothing here", "这里什么都没有"),
    "unknown_slot": Refusal(404, "there is no slot {slot} in this machine", "本机没有货道 {slot}"),
    "unknown_order": Refusal(
        404, "there is no order {order} in this machine's journal", "本机账本中没有订单 {order}"
    ),
    "not_allowed": Refusal(405, "this cannot be done in this way", "不支持此操作方式"),
    "conflict": Refusal(409, "{why}", "当前无法执行：{why}"),
    "stale": Refusal(
        409,
        "slot {slot} held {seen} when you counted and holds {stock} now: count again",
        "您清点时货道 {slot} 是 {seen} 件，现在是 {stock} 件，请重新清点",
    ),
    "board_busy": Refusal(
        409, "slot {slot} is vending: try again when it has finished", "货道 {slot} 正在出货，请稍后再试"
    ),
    "board_away": Refusal(409, "the board takes no commands: {why}", "主控板不可用：{why}"),
    "not_refundable": Refusal(
        409,
        "order {order} is {state}: only a paid order that was not refunded yet can be refunded",
        "订单 {order} 的状态是 {state}，只有已付款且未退款的订单可以退款",
    ),
    "not_in_doubt": Refusal(
        409,
        "order {order} is {state}: only an order in doubt can be booked as delivered",
        "订单 {order} 的状态是 {state}，只有无法确认出货的订单可以登记为已出货",
    ),
    "day_not_over": Refusal(409, "{day} is not over yet: close it tomorrow", "{day} 还没有结束，请明天再结算"),
    "day_closed": Refusal(
        409,
        "{day} was closed already, as number {number} by {who}",
        "{day} 已由 {who} 结算（第 {number} 号）",
    ),
    "too_large": Refusal(413, "a request of this page has at most {most} KiB", "请求内容不得超过 {most} KiB"),
    "too_many": Refusal(429, "too many wrong passwords: wait {seconds} s", "密码错误次数过多，请等待 {seconds} 秒"),
    "error": Refusal(500, "a mistake of this program: the log tells more", "程序出错，详情见日志"),
    "unavailable": Refusal(503, "{why}", "暂时无法执行：{why}"),
    "journal_stuck": Refusal(
        503, "nothing was changed: the journal cannot be written: {why}", "未做任何更改：账本无法写入：{why}"
    ),
    "no_picture": Refusal(503, "the screen has not been painted yet", "屏幕尚未显示画面"),
}
_BY_STATUS = {400: "bad_request", 401: "unauthorized", 403: "forbidden", 404: "not_found", 405: "not_allowed"}


class Refused(web.HTTPError):
    """The answer is a no of the table; nothing was changed."""

    def __init__(self, code: str, **values: object) -> None:
        super().__init__(REFUSALS[code].status)
        self.code = code
        self.values = values


def error_view(status: int, error: BaseException | None) -> dict[str, Any]:
    """The JSON of an error: {"code", "message", "text": {"en", "zh_CN"}}; never a trace."""
    if isinstance(error, Refused):
        code, values = error.code, error.values
    else:  # Tornado's own
        code, values = _BY_STATUS.get(status, "error" if status >= 500 else "bad_request"), {}
    refusal = REFUSALS[code]
    texts = {"en": refusal.en.format_map(values), "zh_CN": refusal.zh_CN.format_map(values)}
    return {"code": code, "message": texts["en"], "text": texts}
