"""Texts of codes, each another: what WeChat gives and what the machine signs."""

from __future__ import annotations

import hashlib


def link(number: int) -> str:
    """A link of native mode one: 190 characters, version 9 or 10 at level M."""
    noise = hashlib.sha256(str(number).encode()).hexdigest()
    return (
        "weixin://wxpay/bizpayurl?appid=wx8888888888888888&mch_id=1900000109"
        f"&nonce_str={noise[:32]}&product_id=p{number % 12:02}&time_stamp=1795463023&sign={noise[32:].upper()}"
    )
