"""What a mini-program needs to open the cashier: the arguments of wx.requestPayment (WeChat Pay v2, chapter 7_7)."""

from __future__ import annotations

from kiosk.payments.wechat.signature import sign
from kiosk.settings import WeChatPaySettings


def request_payment_fields(
    settings: WeChatPaySettings, miniprogram_app_id: str, prepay_id: str, *, time_stamp: int, nonce: str
) -> dict[str, str]:
    """timeStamp, nonceStr, package, signType and paySign. `time_stamp` is in Unix seconds.

    The sign type is the configured one, because it has to be that of the unifiedorder behind `prepay_id`. The app id
    is signed as `appId` but is no argument of the call: the phone knows it.
    """
    fields = {
        "timeStamp": str(time_stamp),
        "nonceStr": nonce,
        "package": f"prepay_id={prepay_id}",
        "signType": settings.sign_type.value,
    }
    signed = sign({"appId": miniprogram_app_id, **fields}, settings.api_key, settings.sign_type)
    return {**fields, "paySign": signed}
