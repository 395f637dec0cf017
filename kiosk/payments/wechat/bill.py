"""WeChat's own account of a day: downloadbill (WeChat Pay v2, chapter 9_6), read line by line.

The answer is text, not XML: a line of titles, a line for each payment and refund of the whole merchant, a line of
titles and one of sums. It carries no signature, so TLS alone vouches for it; a bill without its sums was cut short
and is not believed. Columns have come and gone over the years: they are found by title.

Blocking: for the command line, not for the event loop.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING

from kiosk.clock import CHINA_STANDARD_TIME
from kiosk.payments.wechat import signature, xml
from kiosk.payments.wechat.fields import one_line
from kiosk.settings import WeChatPaySettings

if TYPE_CHECKING:
    import requests

CONNECT_SECONDS = 5.0
READ_SECONDS = 30.0  # each wait for bytes: a bill is put together while we wait
TOTAL_SECONDS = 600.0  # a big merchant's bill of 20 MB over a mobile network
MAX_LINE_BYTES = 8 * 1024  # 27 columns of at most 128 characters; longer is no line of a bill
PIECE_BYTES = 64 * 1024

_PATH = "/pay/downloadbill"
_NO_BILL = "No Bill Exist"  # nothing was sold that day: not an error
_TIME, _NUMBER, _TRANSACTION, _STATE = "交易时间", "商户订单号", "微信订单号", "交易状态"
_AMOUNT = ("订单金额", "总金额", "应结订单金额")  # newest first; the last lacks the vouchers
_REFUND_NUMBER, _REFUND_STATE = "商户退款单号", "退款状态"
_REFUND_AMOUNT = ("申请退款金额", "退款金额")  # newest first; the last lacks the vouchers
_SUMS_BEGIN = "总交易单数"  # the first title of the sums, in every version


class BillError(Exception):
    """There is no bill to be had, or none that can be read; the sentence says why and what to do."""


@dataclass(frozen=True)
class BillLine:
    """One line of the bill: a payment, or (with an `out_refund_no`) a refund. Money in fen."""

    at: datetime  # aware
    out_trade_no: str
    transaction_id: str
    amount_fen: int  # what was paid, or what went back
    out_refund_no: str = ""
    refund_failed: bool = False  # this money did not go back


def fetch_bill(settings: WeChatPaySettings, app_id: str, day: date, ours: Callable[[str], bool]) -> list[BillLine]:
    """The lines of the bill of `day` (China Standard Time) whose out_trade_no is `ours`. Raises `BillError`.

    The other host is asked when the first one gives no answer.
    """
    hosts = dict.fromkeys((settings.api_base, settings.backup_api_base))
    reasons = []
    for host in hosts:
        try:
            return list(read_bill(_download(host, settings, app_id, day), ours))
        except _NoAnswer as error:
            reasons.append(f"{host}: {error}")
    raise BillError(f"WeChat Pay gave no bill: {'; '.join(reasons)}; try again when the network is there")


def read_bill(lines: Iterable[bytes], ours: Callable[[str], bool]) -> Iterator[BillLine]:
    """The lines that are `ours` of a bill given line by line. Raises `BillError` if it is none or was cut short."""
    titles: dict[str, int] | None = None
    for raw in lines:
        try:
            text = raw.decode("utf-8-sig" if titles is None else "utf-8").strip("\r\n")
        except UnicodeDecodeError:
            raise BillError("WeChat Pay's bill is not UTF-8") from None
        if titles is None:
            titles = {title.strip(): at for at, title in enumerate(text.split(","))}
            missing = [
                title for title in (_TIME, _NUMBER, _TRANSACTION, _STATE, _REFUND_NUMBER) if title not in titles
            ]
            if missing:
                raise BillError(f"WeChat Pay's bill has no column {' '.join(missing)}: {one_line(text)!r}")
        elif text.startswith(_SUMS_BEGIN):
            return
        elif text:
            line = _line(text, titles)
            if ours(line.out_trade_no):
                yield line
    if titles is not None:
        raise BillError("WeChat Pay's bill was cut short: it has no sums at its end; try again")


class _NoAnswer(Exception):
    """The host gave nothing that could be read; the other one may."""


def _download(host: str, settings: WeChatPaySettings, app_id: str, day: date) -> Iterator[bytes]:
    """The lines of the answer; none when nothing was sold. Raises `BillError`, `_NoAnswer`."""
    import requests  # noqa: PLC0415 - takes a tenth of a second, which other commands shall not wait for

    fields = {
        "appid": app_id,
        "mch_id": settings.mch_id,
        "nonce_str": signature.nonce(),
        "sign_type": settings.sign_type.value,
        "bill_date": f"{day:%Y%m%d}",
        "bill_type": "ALL",
    }
    fields["sign"] = signature.sign(fields, settings.api_key, settings.sign_type)
    try:
        with requests.post(
            host + _PATH,
            data=xml.build(fields),
            headers={"Content-Type": "text/xml; charset=utf-8", "Accept-Encoding": "identity", "User-Agent": "kiosk"},
            timeout=(CONNECT_SECONDS, READ_SECONDS),
            allow_redirects=False,
            stream=True,
        ) as response:
            if response.status_code != 200:
                raise _NoAnswer(f"HTTP {response.status_code}")
            lines = _lines(response)
            first = next(lines, b"")
            if first.removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"<"):
                _refuse(first + b"".join(lines))
                return
            yield first
            yield from lines
    except requests.RequestException as error:
        raise _NoAnswer(type(error).__name__) from error


def _lines(response: requests.Response) -> Iterator[bytes]:
    """The body's lines, as they come, within the limits."""
    deadline = time.monotonic() + TOTAL_SECONDS
    rest = b""
    for piece in response.iter_content(PIECE_BYTES):
        *lines, rest = (rest + piece).split(b"\n")
        if max(map(len, (*lines, rest))) > MAX_LINE_BYTES:
            raise BillError(f"WeChat Pay's bill has a line longer than {MAX_LINE_BYTES} bytes")
        if time.monotonic() > deadline:
            raise _NoAnswer(f"the bill was not finished within {TOTAL_SECONDS:g} s")
        yield from lines
    yield rest


def _refuse(body: bytes) -> None:
    """Raise what an answer in XML says; return if it says that there was nothing to bill."""
    try:
        fields = xml.parse(body)
    except xml.XmlRefused as error:
        raise _NoAnswer(f"no bill and no message: {error}") from None
    message = one_line(fields.get("return_msg", "")) or "no reason given"
    if message == _NO_BILL:
        return
    if message == "SYSTEMERROR":
        raise _NoAnswer(message)
    later = "; bills are made from 9:00 on of the next day, China time" if message == "Bill Creating" else ""
    raise BillError(f"WeChat Pay refuses the bill: {message}{later}")


def _line(text: str, titles: dict[str, int]) -> BillLine:
    values = text.removeprefix("`").split(",`")  # every value has a back-tick before it, and may hold a comma

    def value(*names: str) -> str:
        for name in names:
            if name in titles:
                return values[titles[name]].strip()
        raise BillError(f"WeChat Pay's bill has no column {names[0]}")

    try:
        refund = value(_STATE) != "SUCCESS"
        return BillLine(
            at=datetime.strptime(value(_TIME), "%Y-%m-%d %H:%M:%S").replace(tzinfo=CHINA_STANDARD_TIME),
            out_trade_no=value(_NUMBER),
            transaction_id=value(_TRANSACTION),
            amount_fen=_fen(value(*(_REFUND_AMOUNT if refund else _AMOUNT))),
            out_refund_no=(value(_REFUND_NUMBER) or "-") if refund else "",
            refund_failed=refund and value(_REFUND_STATE) == "FAIL",
        )
    except (ValueError, IndexError, ArithmeticError):
        raise BillError(
            f"WeChat Pay's bill was cut short, or has a line that cannot be read: {one_line(text)!r}"
        ) from None


def _fen(yuan: str) -> int:
    """Yuan with decimals, as the bill has them, in fen. Raises ValueError, ArithmeticError."""
    fen = Decimal(yuan) * 100
    if fen != int(fen):
        raise ValueError(yuan)
    return int(fen)
