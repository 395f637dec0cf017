"""kiosk.ini → `Settings`. The rules of every section and key stand here; how a value is read, in `kiosk.ini`."""

from __future__ import annotations

import enum
import ipaddress
import os
import re
from dataclasses import dataclass, field
from pathlib import Path

from kiosk.ini import IniFile, IniUnreadable, Section
from kiosk.settings import (
    DispenserDriver,
    DispenserSettings,
    DisplayDriver,
    DisplaySettings,
    InDoubt,
    KioskSettings,
    ListenAddress,
    MdbSettings,
    MiniProgramSettings,
    ModbusProfile,
    ModbusSettings,
    NativeMode,
    Product,
    Settings,
    SignType,
    Slot,
    TcnSettings,
    WebSettings,
    WeChatPaySettings,
    XySettings,
)

SECTIONS = ("kiosk", "wechatpay", "miniprogram", "callbacks", "web", "display", "dispenser")
DRIVER_SECTIONS = ("xy", "modbus", "tcn", "mdb")  # each only with that driver
BAUDRATES = (1200, 2400, 4800, 9600, 19200, 38400, 57600, 115200, 230400)
ADDRESSES: dict[object, tuple[int, int]] = {  # how each board numbers its slots: lowest, highest
    DispenserDriver.XY: (1, 1000),
    ModbusProfile.RELAY: (0, 255),
    ModbusProfile.ZDM8: (0, 99),
    DispenserDriver.TCN: (1, 80),
    DispenserDriver.MDB: (0, 65534),  # MDB/ICP 4.2, 7.4: FFFF means that the machine does not tell
}
ADDRESSES_OF_OTHERS = (0, 65535)
MODBUS_KEYS = {  # those that only one profile has
    "pulse": ModbusProfile.RELAY,
    "proof": ModbusProfile.RELAY,
    "sensor": ModbusProfile.ZDM8,
    "motor": ModbusProfile.ZDM8,
}
MAX_SECRET_BYTES = 4096  # no key or token is longer; a larger file is some other file
MAX_PRICE_FEN = 50_000_00  # no vending machine sells dearer: a larger figure is a slip
SCREEN_PIXELS = (320, 4096)  # smallest and largest side that the painter lays out
MAX_SCREEN_LINK = 150  # with the machine's id its code is as large as one of mode one, which any screen shows
API_KEY_LENGTH = 32  # WeChat Pay v2 demands exactly this
WECHAT_API = "https://api.mch.weixin.qq.com"
WECHAT_BACKUP_API = "https://api2.mch.weixin.qq.com"
APP_ID = {"pattern": "wx[0-9A-Za-z]{1,30}", "right": "wx and the letters and digits that WeChat gave"}
PROXY = "the address of the reverse proxy, such as 10.0.0.2"
ANYTHING = {"pattern": r".{1,64}", "right": "1 to 64 characters"}


class ConfigError(Exception):
    """What is wrong with kiosk.ini: `findings` holds all of it, each a sentence; no secret is among it."""

    def __init__(self, findings: tuple[str, ...], *, unreadable: bool = False) -> None:
        super().__init__("\n".join(findings))
        self.findings = findings
        self.unreadable = unreadable  # the file could not even be read


class _Language(enum.Enum):
    ZH_CN = "zh_CN"
    EN = "en"


class _Repeat(enum.Enum):
    NEVER = "never"
    VENDOR = "vendor"


class _MdbAddress(enum.Enum):
    FIRST = "0x10"
    SECOND = "0x60"


class _Proof(enum.Enum):
    INPUT = "input"
    NONE = "none"


class _Motor(enum.Enum):
    COIL = "coil"
    LOCK = "lock"
    BELT = "belt"


@dataclass
class _Reading:
    """One reading of the ini: the file and the secret files met on the way."""

    ini: IniFile
    secret_files: list[Path] = field(default_factory=list)


def load(path: Path) -> Settings:
    """Read kiosk.ini and the secrets that it names; raises `ConfigError` with everything that is wrong."""
    ini = _open(path)
    reading = _Reading(ini)
    settings = Settings(
        path=path.absolute(),
        kiosk=_kiosk(ini.section("kiosk")),
        wechatpay=_wechatpay(reading),
        miniprogram=_miniprogram(reading) if "miniprogram" in ini else None,
        callbacks=_listen(ini.section("callbacks"), "127.0.0.1:8000"),
        proxy=_proxy(ini.section("callbacks")),
        web=_web(reading),
        display=_display(ini.section("display")),
        dispenser=(dispenser := _dispenser(ini)),
        products=(products := _products(ini)),
        slots=_slots(ini, dispenser, {product.id for product in products}),
        secret_files=tuple(reading.secret_files),
    )
    if settings.callbacks == settings.web.listen and settings.callbacks.port:
        ini.section("web").note(
            "listen", "must differ from [callbacks] listen: the internet must not reach this page"
        )
    ini.note_unknown((*SECTIONS, *DRIVER_SECTIONS, "product:ID", "slot:ID"))
    if ini.findings:
        raise ConfigError(tuple(ini.findings))
    return settings


def load_password_file(path: Path) -> Path:
    """Only [web] password_file, so that a password can be set while the rest of the ini is still unfinished."""
    ini = _open(path)
    file = _password_file(ini.section("web"))
    wrong = tuple(finding for finding in ini.findings if "[web] password_file" in finding)
    if wrong:
        raise ConfigError(wrong)
    return file


def load_kiosk(path: Path) -> KioskSettings:
    """Only [kiosk], for commands that look at the books: no secret is needed for them, nor a finished ini."""
    ini = _open(path)
    settings = _kiosk(ini.section("kiosk"))
    wrong = tuple(finding for finding in ini.findings if "[kiosk]" in finding)
    if wrong:
        raise ConfigError(wrong)
    return settings


def _open(path: Path) -> IniFile:
    try:
        return IniFile(path)
    except IniUnreadable as error:
        raise ConfigError((str(error),), unreadable=True) from error


def _kiosk(section: Section) -> KioskSettings:
    machine_id = section.text("id", pattern="[A-Za-z0-9-]{1,12}", right="1 to 12 of A-Z a-z 0-9 -")
    return KioskSettings(
        id=machine_id,
        name=section.text("name", machine_id, **ANYTHING),
        language=section.choice("language", _Language, _Language.ZH_CN).value,
        data_dir=section.path("data_dir", "var"),
        dispense_within_seconds=section.integer("dispense_within", 120, low=5, high=3600),
        in_doubt=section.choice("in_doubt", InDoubt, InDoubt.REFUND),
    )


def _wechatpay(reading: _Reading) -> WeChatPaySettings:
    section = reading.ini.section("wechatpay")
    api_base = section.address("api_base", WECHAT_API)
    mode = section.choice("native_mode", NativeMode, NativeMode.TWO)
    if mode is NativeMode.ONE and "public_url" not in section:
        section.note("public_url", "is missing; native_mode = one needs it: WeChat posts every scan to this machine")
    cert = _existing_file(section, "client_cert_file")
    key = _existing_file(section, "client_key_file")
    for present, absent in (("client_cert_file", "client_key_file"), ("client_key_file", "client_cert_file")):
        if present in section and absent not in section:
            section.note(absent, f"is missing; {present} is of use only together with it")
    if key is not None:
        reading.secret_files.append(key)
    return WeChatPaySettings(
        app_id=section.text("app_id", **APP_ID),
        mch_id=section.text("mch_id", pattern="[0-9]{1,32}", right="the merchant number, digits only"),
        api_key=_secret(reading, section, "api_key", length=API_KEY_LENGTH),
        sign_type=section.choice("sign_type", SignType, SignType.HMAC_SHA256),
        native_mode=mode,
        api_base=api_base,
        # Whoever talks to another host than WeChat's (a simulator) must not fall back to WeChat's own.
        backup_api_base=section.address("backup_api_base", WECHAT_BACKUP_API if api_base == WECHAT_API else api_base),
        public_url=section.address("public_url"),
        client_cert_file=cert,
        client_key_file=key,
        order_ttl_seconds=section.integer("order_ttl", 300, low=5, high=7200),
        code_ttl_seconds=section.integer("code_ttl", 6600, low=60, high=7000),
        query_interval_seconds=section.integer("query_interval", 3, low=1, high=60),
    )


def _miniprogram(reading: _Reading) -> MiniProgramSettings:
    section = reading.ini.section("miniprogram")
    screen_link = section.address("screen_link")
    if screen_link is not None and len(screen_link) > MAX_SCREEN_LINK:
        section.note(
            "screen_link", f"must have {MAX_SCREEN_LINK} characters at most: a small screen has no room for more"
        )
    return MiniProgramSettings(
        app_id=section.text("app_id", **APP_ID),
        app_secret=_secret_file(reading, section, "app_secret_file", required=True) or "",
        api_base=section.address("api_base", "https://api.weixin.qq.com"),
        screen_link=screen_link,
    )


def _web(reading: _Reading) -> WebSettings:
    section = reading.ini.section("web")
    password_file = _password_file(section)
    reading.secret_files.append(password_file)
    return WebSettings(
        listen=_listen(section, "127.0.0.1:8080"),
        password_file=password_file,
        api_token=_secret_file(reading, section, "api_token_file", required=False),
    )


def _password_file(section: Section) -> Path:
    return _credential(section, "password_file") or section.path("password_file", "secrets/web_password")


def _listen(section: Section, default: str) -> ListenAddress:
    return ListenAddress(*section.listen("listen", default))


def _proxy(section: Section) -> str:
    proxy = section.text("proxy", "127.0.0.1", pattern="[0-9A-Fa-f.:]+", right=PROXY)
    try:
        return str(ipaddress.ip_address(proxy))
    except ValueError:
        if re.fullmatch("[0-9A-Fa-f.:]+", proxy):  # what else is wrong was noted
            section.note("proxy", f"must be {PROXY}", proxy)
        return proxy


def _display(section: Section) -> DisplaySettings:
    driver = section.choice("driver", DisplayDriver, DisplayDriver.FRAMEBUFFER)
    device = section.path("device", "/dev/fb0")
    if driver is DisplayDriver.FILE and ("device" not in section or device.suffix != ".png"):
        section.note("device", "must name the picture that driver = file writes, ending in .png")
    size = section.text("size", "1080x1920", pattern="[0-9]{1,5}x[0-9]{1,5}", right="WIDTHxHEIGHT, such as 1080x1920")
    width, height = (int(side) for side in size.split("x")) if re.fullmatch("[0-9]+x[0-9]+", size) else SCREEN_PIXELS
    smallest, largest = SCREEN_PIXELS
    if not all(smallest <= side <= largest for side in (width, height)):
        section.note("size", f"must have sides from {smallest} to {largest} pixels", size)
    whole = driver is DisplayDriver.WINDOW and "size" not in section
    return DisplaySettings(
        driver=driver,
        device=device if driver in {DisplayDriver.FRAMEBUFFER, DisplayDriver.FILE} else None,
        width=0 if whole else width,
        height=0 if whole else height,
        rotate=section.integer("rotate", 0, choices=(0, 90, 180, 270)),
        idle_folder=section.path("idle_folder"),
        idle_after_seconds=section.integer("idle_after", 60, low=10, high=3600),
    )


def _dispenser(ini: IniFile) -> DispenserSettings:
    section = ini.section("dispenser")
    driver = section.choice("driver", DispenserDriver)
    port = section.raw("port")
    if port is not None and "://" not in port:
        port = str(section.path("port"))
    if driver is not DispenserDriver.FAKE and "port" not in section:
        section.note("port", "is missing; it must be the serial port of the board, best one of /dev/serial/by-id")
    for name in DRIVER_SECTIONS:
        if name in ini and name != section.raw("driver"):
            ini.note(f"[{name}]: is only for [dispenser] driver = {name}; take it out")
            ini.section(name).forgive()
    vend_timeout = section.integer("vend_timeout", 60, low=5, high=600)
    return DispenserSettings(
        driver=driver,
        port=port,
        baudrate=section.integer("baudrate", 0, choices=BAUDRATES) or None,
        vend_timeout_seconds=vend_timeout,
        xy=_xy(ini.section("xy")) if driver is DispenserDriver.XY else XySettings(),
        modbus=_modbus(ini.section("modbus"), vend_timeout) if driver is DispenserDriver.MODBUS else ModbusSettings(),
        tcn=_tcn(ini.section("tcn")) if driver is DispenserDriver.TCN else TcnSettings(),
        mdb=_mdb(ini) if driver is DispenserDriver.MDB else MdbSettings(),
    )


def _xy(section: Section) -> XySettings:
    return XySettings(
        drop_sensor=section.boolean("drop_sensor", default=True),
        lift=section.boolean("lift", default=False),
        repeat=section.choice("repeat", _Repeat, _Repeat.NEVER).value,
        poll_interval_ms=section.integer("poll_interval_ms", 100, choices=range(100, 2001, 100)),
        sales_counter=section.boolean("sales_counter", default=False),
    )


def _modbus(section: Section, vend_timeout_seconds: int) -> ModbusSettings:
    profile = section.choice("profile", ModbusProfile, ModbusProfile.RELAY)
    settings = ModbusSettings(
        profile=profile,
        unit=section.integer("unit", 1, low=1, high=247),  # Modbus over serial line, 2.2: addresses of single devices
        pulse_seconds=section.number("pulse", 0.7, low=0.1, high=60),
        proof_by_input=section.choice("proof", _Proof, _Proof.INPUT) is _Proof.INPUT,
        sensor=section.boolean("sensor", default=True),
        motor=section.choice("motor", _Motor, _Motor.COIL).value,
    )
    for key, owner in MODBUS_KEYS.items():
        if key in section and owner is not profile:
            section.note(key, f"is only for profile = {owner.value}; take it out")
    if vend_timeout_seconds <= settings.pulse_seconds <= 60:
        section.note("pulse", f"must be shorter than [dispenser] vend_timeout, {vend_timeout_seconds} seconds")
    return settings


def _tcn(section: Section) -> TcnSettings:
    return TcnSettings(drop_sensor=section.boolean("drop_sensor", default=True))


def _mdb(ini: IniFile) -> MdbSettings:
    section = ini.section("mdb")
    pay = ini.section("wechatpay")
    if pay.raw("native_mode") == NativeMode.ONE.value:
        pay.note(
            "native_mode", "must be two with [dispenser] driver = mdb: the code is made for what was chosen", "one"
        )
    if "miniprogram" in ini:
        ini.note("[miniprogram]: take it out: with driver = mdb the customer chooses at the machine and nowhere else")
    word = r"[A-Za-z0-9_-]+=[A-Za-z0-9_.-]+"
    given = section.text(
        "settings", "", pattern=rf"{word}( {word})*", right="NAME=VALUE, several separated by a blank"
    )
    pairs = (tuple(pair.split("=")) for pair in given.split()) if re.fullmatch(rf"{word}( {word})*", given) else ()
    return MdbSettings(
        address=int(section.choice("address", _MdbAddress, _MdbAddress.FIRST).value, 16),
        currency=section.integer("currency", 156, low=1, high=999),
        answer_within_seconds=section.integer("answer_within", 60, low=30, high=240),
        bridge_settings=tuple((name, value) for name, value in pairs),
    )


def _products(ini: IniFile) -> tuple[Product, ...]:
    products = []
    for name in ini.names():
        if not name.startswith("product:"):
            continue
        section, product_id = ini.section(name), name.removeprefix("product:")
        if not re.fullmatch("[A-Za-z0-9_-]{1,32}", product_id):
            ini.note(f"[{name}]: the id after product: must be 1 to 32 of A-Z a-z 0-9 _ -")
        title = section.text("name", **ANYTHING)
        products.append(
            Product(
                id=product_id,
                name=title,
                name_en=section.text("name_en", title, **ANYTHING),
                price_fen=section.money_fen("price", low_fen=1, high_fen=MAX_PRICE_FEN),
                image=section.path("image"),
            )
        )
    if not products:
        ini.note("[product:ID]: there is no such section; a machine sells at least one product")
    return tuple(products)


def _slots(ini: IniFile, dispenser: DispenserSettings, product_ids: set[str]) -> tuple[Slot, ...]:
    slots: list[Slot] = []
    holders: dict[int, str] = {}  # address → slot's id
    board = dispenser.modbus.profile if dispenser.driver is DispenserDriver.MODBUS else dispenser.driver
    low, high = ADDRESSES.get(board, ADDRESSES_OF_OTHERS)
    for name in ini.names():
        if not name.startswith("slot:"):
            continue
        section, slot_id = ini.section(name), name.removeprefix("slot:")
        if not re.fullmatch("[A-Za-z0-9_-]{1,16}", slot_id):
            ini.note(f"[{name}]: the id after slot: must be 1 to 16 of A-Z a-z 0-9 _ -")
        product_id = section.text("product", right="the id of a [product:ID] section", pattern=".+")
        if product_id and product_id not in product_ids:
            section.note("product", f"there is no [product:{product_id}]; {_known(product_ids)}", product_id)
        address = _slot_address(section, slot_id, low, high)
        if address in holders:
            text = f"is also that of [slot:{holders[address]}]; every slot needs an address of its own"
            section.note("address", text, address)
        if address is not None:
            holders[address] = slot_id
        slots.append(Slot(slot_id, product_id, address or 0, section.integer("capacity", low=1, high=999)))
    return tuple(slots)


def _slot_address(section: Section, slot_id: str, low: int, high: int) -> int | None:
    """The board's number for the slot; None after noting that there is none."""
    if "address" not in section and not (re.fullmatch("[0-9]{1,5}", slot_id) and low <= int(slot_id) <= high):
        section.note("address", f"is missing; it must be the board's number for this slot, from {low} to {high}")
        section.raw("address")
        return None
    default = int(slot_id) if "address" not in section else 0
    address = section.integer("address", default, low=low, high=high)
    return address if low <= address <= high else None


def _known(ids: set[str]) -> str:
    return f"there are {', '.join(sorted(ids))}" if ids else "there is no product at all"


def _secret(reading: _Reading, section: Section, key: str, *, length: int) -> str:
    """A secret that stands in the ini itself or in the file that KEY_file names."""
    file_key = f"{key}_file"
    secret = section.raw(key)
    if key in section and file_key in section:
        section.note(key, f"stands beside {file_key}; keep one of them, best the file")
    if key in section:
        reading.secret_files.append(reading.ini.path.absolute())
        _secret_file(reading, section, file_key, required=False)
    else:
        secret = _secret_file(reading, section, file_key, required=True)
        key = file_key
    if secret is not None and not re.fullmatch(rf"[!-~]{{{length}}}", secret):
        section.note(key, f"must hold {length} letters and digits; what it holds has {len(secret)} characters")
    return secret or ""


def _secret_file(reading: _Reading, section: Section, key: str, *, required: bool) -> str | None:
    """The content of a secret file without one newline at its end; None if there is none."""
    file = _existing_file(section, key, required=required)
    if file is None:
        return None
    reading.secret_files.append(file)
    try:
        with file.open("rb") as opened:
            content = opened.read(MAX_SECRET_BYTES + 1)
        secret = content.decode("ascii").removesuffix("\n").removesuffix("\r")
    except OSError as error:
        section.note(key, f"cannot be read: {error.strerror}", file)
        return None
    except UnicodeDecodeError:
        secret = ""
    if not re.fullmatch(r"[!-~]+", secret) or len(content) > MAX_SECRET_BYTES:
        section.note(key, "must be a file with the secret alone on one line, in letters, digits and signs", file)
        return None
    return secret


def _existing_file(section: Section, key: str, *, required: bool = False) -> Path | None:
    """A file that is named and there; otherwise None, after noting what is wrong."""
    value = section.raw(key)
    if value is None:
        if required and key not in section:
            section.note(key, "is missing; it must be the path of a file with the secret in it")
        return None
    file = _credential(section, key) or section.path(key)
    if file is not None and not file.is_file():
        if re.fullmatch("[0-9A-Za-z]{24,}", value):  # a secret where its file's name belongs: not shown
            section.note(key, "looks like the secret itself; put the secret into a file and name the file here")
        else:
            section.note(key, f"there is no file {file}", value)
        return None
    return file


def _credential(section: Section, key: str) -> Path | None:
    """The systemd credential of that name; it wins over a file beside the ini, being handed over on purpose."""
    folder, name = os.environ.get("CREDENTIALS_DIRECTORY"), section.raw(key) or ""
    if not folder or not name or name != Path(name).name:
        return None
    file = Path(folder) / name
    return file if file.is_file() else None
