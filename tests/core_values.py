"""The values that the tests of the core speak about."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
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
    Slot,
    WebSettings,
    WeChatPaySettings,
)

SLOTS = (
    Slot(id="11", product_id="cola", address=11, capacity=3),
    Slot(id="12", product_id="cola", address=12, capacity=2),
    Slot(id="21", product_id="tea", address=21, capacity=1),
)
COLA = ("11", "12")
NOON = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)


class SteppedClock:
    """A wall clock that stands still until a test moves it."""

    def __init__(self) -> None:
        self.time = NOON

    def now(self) -> datetime:
        return self.time

    def step(self, seconds: float) -> None:
        self.time += timedelta(seconds=seconds)


def make_settings(data_dir: Path, **kiosk: object) -> Settings:
    """A small machine: two slots of cola, one of tea; `kiosk` overrides values of [kiosk]."""
    return Settings(
        path=data_dir / "kiosk.ini",
        kiosk=replace(KioskSettings("lobby-1", "大堂饮料机", "zh_CN", data_dir), **kiosk),  # type: ignore[arg-type] # names vary
        wechatpay=WeChatPaySettings(
            app_id="wx8888888888888888",
            mch_id="1900000109",
            api_key="k" * 32,
            public_url="https://pay.example.com",
        ),
        miniprogram=None,
        callbacks=ListenAddress("127.0.0.1", 0),
        web=WebSettings(ListenAddress("127.0.0.1", 0), data_dir / "password"),
        display=DisplaySettings(DisplayDriver.NONE, None, 480, 320, 0),
        dispenser=DispenserSettings(DispenserDriver.FAKE, None, None),
        products=(
            Product("cola", "可口可乐", "Coca-Cola", 350, None),
            Product("tea", "冰红茶", "Iced tea", 300, None),
        ),
        slots=SLOTS,
    )
