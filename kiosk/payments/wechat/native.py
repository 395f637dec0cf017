"""Native mode one: the link behind a product's static code (WeChat Pay v2, native, chapter 6_4)."""

from __future__ import annotations

from urllib.parse import quote, urlencode

from kiosk.payments.wechat.signature import sign
from kiosk.settings import SignType, WeChatPaySettings


def native_link(settings: WeChatPaySettings, product_id: str, *, time_stamp: int, nonce: str) -> str:
    """The text of a code that sells `product_id` (at most 32 characters) for ever; it has no end of life.

    `time_stamp` is in Unix seconds. Signed with MD5 whatever sign_type is configured: the link has no field to say
    otherwise. The values are signed raw and percent-encoded only in the link.
    """
    fields = {
        "appid": settings.app_id,
        "mch_id": settings.mch_id,
        "nonce_str": nonce,
        "product_id": product_id,
        "time_stamp": str(time_stamp),
    }
    fields["sign"] = sign(fields, settings.api_key, SignType.MD5)
    return f"weixin://wxpay/bizpayurl?{urlencode(fields, quote_via=quote)}"
