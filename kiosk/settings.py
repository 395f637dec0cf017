"""What kiosk.ini says, as frozen values. `kiosk.config` makes them; nobody else sees the file."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal


class SignType(enum.Enum):
    """How messages of WeChat Pay v2 are signed."""

    MD5 = "MD5"
    HMAC_SHA256 = "HMAC-SHA256"


class NativeMode(enum.Enum):
    """Which kind of code stands on the screen."""

    ONE = "one"  # a static code for each product
    TWO = "two"  # a code for each order


class InDoubt(enum.Enum):
    """What becomes of an order whose vend nobody can vouch for."""

    REFUND = "refund"
    HOLD = "hold"


@dataclass(frozen=True)
class Product:
    """Something that is sold. `name_en` falls back to `name`."""

    id: str
    name: str
    name_en: str
    price_fen: int
    image: Path | None

    def name_in(self, language: str) -> str:
        """The name that a customer reads."""
        return self.name if language == "zh_CN" else self.name_en


@dataclass(frozen=True)
class Slot:
    """A place in the machine that holds one product. `address` is the board's number for it."""

    id: str
    product_id: str
    address: int
    capacity: int


@dataclass(frozen=True)
class ListenAddress:
    """Where a listener listens."""

    host: str
    port: int  # 0: any free port


@dataclass(frozen=True)
class KioskSettings:
    """[kiosk]."""

    id: str
    name: str
    language: str  # zh_CN | en
    data_dir: Path
    dispense_within_seconds: int = 120
    in_doubt: InDoubt = InDoubt.REFUND


@dataclass(frozen=True)
class WeChatPaySettings:
    """[wechatpay]."""

    app_id: str
    mch_id: str
    api_key: str = field(repr=False)  # a secret: kept out of every log
    sign_type: SignType = SignType.HMAC_SHA256
    native_mode: NativeMode = NativeMode.TWO
    api_base: str = "https://api.mch.weixin.qq.com"
    backup_api_base: str = "https://api2.mch.weixin.qq.com"
    public_url: str | None = None  # without a slash at its end
    client_cert_file: Path | None = None
    client_key_file: Path | None = None
    order_ttl_seconds: int = 300
    code_ttl_seconds: int = 6600
    query_interval_seconds: int = 3


@dataclass(frozen=True)
class MiniProgramSettings:
    """[miniprogram]."""

    app_id: str
    app_secret: str = field(repr=False)
    api_base: str = "https://api.weixin.qq.com"
    screen_link: str | None = None  # shown as a code beside the products'; None: no such code


@dataclass(frozen=True)
class WebSettings:
    """[web]."""

    listen: ListenAddress
    password_file: Path
    api_token: str | None = field(default=None, repr=False)


class DisplayDriver(enum.Enum):
    """Where the picture goes."""

    FRAMEBUFFER = "framebuffer"
    WINDOW = "window"
    FILE = "file"
    NONE = "none"


@dataclass(frozen=True)
class DisplaySettings:
    """[display]."""

    driver: DisplayDriver
    device: Path | None
    width: int  # of window, file and none; the framebuffer knows its own. 0: a window as large as the screen
    height: int
    rotate: int  # degrees clockwise: 0 90 180 270
    idle_folder: Path | None = None  # pictures to show while nobody buys
    idle_after_seconds: int = 60


class DispenserDriver(enum.Enum):
    """Which board turns the motors."""

    FAKE = "fake"
    XY = "xy"
    MODBUS = "modbus"
    TCN = "tcn"
    MDB = "mdb"


@dataclass(frozen=True)
class XySettings:
    """[xy]: how an XY board is to be driven."""

    drop_sensor: bool = True
    lift: bool = False
    repeat: Literal["never", "vendor"] = "never"  # whether an unanswered order is sent again, byte-identical
    poll_interval_ms: int = 100  # 100 to 2000, in steps of 100
    sales_counter: bool = False  # whether orders of the host move the board's own sales counter (menu 47)


class ModbusProfile(enum.Enum):
    """Which kind of Modbus board it is."""

    RELAY = "relay"
    ZDM8 = "zdm8"


@dataclass(frozen=True)
class ModbusSettings:
    """[modbus]: how a Modbus board is to be driven."""

    profile: ModbusProfile = ModbusProfile.RELAY
    unit: int = 1
    pulse_seconds: float = 0.7  # relay
    proof_by_input: bool = True  # relay
    sensor: bool = True  # zdm8: the board watches its drop sensor
    motor: Literal["coil", "lock", "belt"] = "coil"  # zdm8: what turns in every lane


@dataclass(frozen=True)
class TcnSettings:
    """[tcn]: how a TCN board is to be driven."""

    drop_sensor: bool = True


@dataclass(frozen=True)
class MdbSettings:
    """[mdb]: the bridge in front of a machine whose customers choose at its own keypad."""

    address: int = 0x10  # as which cashless device of the bus: 0x10 or 0x60
    currency: int = 156  # ISO 4217, numeric: CNY
    answer_within_seconds: int = 60  # from the choice until the machine gets its yes or no
    bridge_settings: tuple[tuple[str, str], ...] = ()  # names and values, as the bridge's maker calls them


@dataclass(frozen=True)
class DispenserSettings:
    """[dispenser] and the section of its driver."""

    driver: DispenserDriver
    port: str | None
    baudrate: int | None  # None: what the protocol uses
    vend_timeout_seconds: int = 60
    xy: XySettings = XySettings()
    mdb: MdbSettings = MdbSettings()
    modbus: ModbusSettings = ModbusSettings()
    tcn: TcnSettings = TcnSettings()


@dataclass(frozen=True)
class Settings:
    """The whole of kiosk.ini."""

    path: Path  # the ini itself, absolute
    kiosk: KioskSettings
    wechatpay: WeChatPaySettings
    miniprogram: MiniProgramSettings | None
    callbacks: ListenAddress
    web: WebSettings
    display: DisplaySettings
    dispenser: DispenserSettings
    products: tuple[Product, ...]  # in the order of the ini
    slots: tuple[Slot, ...]  # in the order of the ini
    proxy: str = (
        "127.0.0.1"  # [callbacks] proxy: whose X-Forwarded-For is believed; a loopback address means all of them
    )
    secret_files: tuple[Path, ...] = ()  # what `kiosk check` wants readable by its owner only

    @property
    def secrets(self) -> tuple[str, ...]:
        """The values that no log and no file may show."""
        app_secret = None if self.miniprogram is None else self.miniprogram.app_secret
        return tuple(value for value in (self.wechatpay.api_key, self.web.api_token, app_secret) if value)

    def product(self, product_id: str) -> Product | None:
        """The product with that id, if there is one."""
        return next((product for product in self.products if product.id == product_id), None)

    def slot(self, slot_id: str) -> Slot | None:
        """The slot with that id, if there is one."""
        return next((slot for slot in self.slots if slot.id == slot_id), None)
