"""The machine that is measured: its settings, its orders, the messages that pay them."""

from __future__ import annotations

import hashlib
from pathlib import Path

from kiosk.settings import (
    DispenserDriver,
    DispenserSettings,
    DisplayDriver,
    DisplaySettings,
    KioskSettings,
    ListenAddress,
    Product,
    Settings,
    SignType,
    Slot,
    WebSettings,
    WeChatPaySettings,
)

APP_ID, MCH_ID, KEY = "wx8888888888888888", "1900000109", "k" * 32
TOKEN = "token-of-the-bench"
PRODUCTS = 12
WIDTH, HEIGHT = 1080, 1920


def settings_in(folder: Path, *, callbacks_port: int = 0, web_port: int = 0) -> Settings:
    """A machine of twelve products, a slot each, without a screen, with a fake board."""
    return Settings(
        path=folder / "kiosk.ini",
        kiosk=KioskSettings("bench-1", "大堂饮料机", "zh_CN", folder),
        wechatpay=WeChatPaySettings(
            app_id=APP_ID,
            mch_id=MCH_ID,
            api_key=KEY,
            sign_type=SignType.MD5,  # the only one that wechatpy verifies: all get the same bytes
            api_base="http://127.0.0.1:9",
            backup_api_base="http://127.0.0.1:9",
            public_url="http://127.0.0.1:9",
        ),
        miniprogram=None,
        callbacks=ListenAddress("127.0.0.1", callbacks_port),
        web=WebSettings(ListenAddress("127.0.0.1", web_port), folder / "password", api_token=TOKEN),
        display=DisplaySettings(DisplayDriver.NONE, None, WIDTH, HEIGHT, 0),
        dispenser=DispenserSettings(DispenserDriver.FAKE, None, None),
        products=tuple(Product(f"p{n}", "可口可乐", "Coca-Cola", 350, None) for n in range(PRODUCTS)),
        slots=tuple(Slot(id=str(11 + n), product_id=f"p{n}", address=11 + n, capacity=8) for n in range(PRODUCTS)),
    )


def numbers(count: int) -> list[str]:
    """The out_trade_nos of so many orders."""
    return [f"bench-1-{number:012}-BBBBBB" for number in range(count)]


def notification(number: str, paid_at: str) -> bytes:
    """The message that WeChat sends when an order was paid at `paid_at` (14 digits, China Standard Time)."""
    fields = {
        "appid": APP_ID,
        "bank_type": "CFT",
        "cash_fee": "350",
        "fee_type": "CNY",
        "is_subscribe": "N",
        "mch_id": MCH_ID,
        "nonce_str": "5d2b6c2a8db53831f7eda20af46e531c",
        "openid": "oUpF8uMEb4qRXf22hE3X68TekukE",
        "out_trade_no": number,
        "result_code": "SUCCESS",
        "return_code": "SUCCESS",
        "time_end": paid_at,
        "total_fee": "350",
        "trade_type": "NATIVE",
        "transaction_id": f"42000000{hashlib.md5(number.encode(), usedforsecurity=False).hexdigest()[:20]}",
    }
    text = "&".join(f"{name}={value}" for name, value in sorted(fields.items())) + f"&key={KEY}"
    fields["sign"] = hashlib.md5(text.encode(), usedforsecurity=False).hexdigest().upper()
    inside = "".join(f"<{name}><![CDATA[{value}]]></{name}>\n" for name, value in fields.items())
    return f"<xml>{inside}</xml>".encode()
