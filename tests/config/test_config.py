"""kiosk.ini becomes settings; whatever is wrong with it is told at once, in sentences, without a secret."""

from __future__ import annotations

from pathlib import Path

import pytest
from config_files import API_KEY, GOOD, in_section, write_ini

from kiosk.config import ConfigError, load, load_password_file
from kiosk.settings import (
    DispenserDriver,
    DisplayDriver,
    InDoubt,
    ListenAddress,
    MdbSettings,
    ModbusProfile,
    ModbusSettings,
    NativeMode,
    SignType,
    Slot,
    TcnSettings,
    XySettings,
)

SECRET = "do-not-show-me-0123456789"


EVERY_KEY = """
    [mdb] currency answer_within settings
    language data_dir dispense_within in_doubt api_key_file sign_type native_mode api_base backup_api_base public_url
    client_cert_file client_key_file order_ttl code_ttl query_interval [miniprogram] app_secret_file screen_link
    api_token_file idle_folder idle_after
    password_file device size rotate port baudrate vend_timeout [xy] drop_sensor lift repeat poll_interval_ms
    sales_counter name_en image address capacity
"""


def findings(path: Path) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as caught:
        load(path)
    return caught.value.findings


def only_finding(path: Path) -> str:
    found = findings(path)
    assert len(found) == 1, found
    return found[0].removeprefix(f"{path}: ")


class TestGoodFile:
    def test_defaults_are_those_of_the_contract(self, tmp_path: Path) -> None:
        """A short ini gives every key that it leaves out the documented value."""
        settings = load(write_ini(tmp_path))
        assert settings.kiosk.language == "zh_CN"
        assert settings.kiosk.data_dir == tmp_path / "var"
        assert settings.kiosk.dispense_within_seconds == 120
        assert settings.kiosk.in_doubt is InDoubt.REFUND
        pay = settings.wechatpay
        assert (pay.sign_type, pay.native_mode) == (SignType.HMAC_SHA256, NativeMode.TWO)
        assert (pay.api_base, pay.backup_api_base) == (
            "https://api.mch.weixin.qq.com",
            "https://api2.mch.weixin.qq.com",
        )
        assert (pay.order_ttl_seconds, pay.code_ttl_seconds, pay.query_interval_seconds) == (300, 6600, 3)
        assert (pay.public_url, pay.client_cert_file, pay.client_key_file) == (None, None, None)
        assert settings.miniprogram is None
        assert settings.web.password_file == tmp_path / "web_password"
        assert settings.web.api_token is None
        assert settings.dispenser.vend_timeout_seconds == 60
        assert settings.dispenser.xy == XySettings()
        assert settings.products[0].name_en == "可口可乐"
        assert settings.slots == (Slot("11", "cola", 11, 8),)

    def test_every_key_is_read(self, tmp_path: Path) -> None:
        """Every section and key of the contract reaches its place in the settings."""
        for name in ("api_key", "app_secret", "api_token", "cert.pem", "key.pem"):
            (tmp_path / name).write_text(API_KEY + "\n")
        path = write_ini(
            tmp_path,
            text="""\
[kiosk]
id = A-1
name = Machine
language = en
data_dir = /srv/kiosk
dispense_within = 5
in_doubt = hold
[wechatpay]
app_id = wx8888888888888888
mch_id = 1900000109
api_key_file = api_key
sign_type = MD5
native_mode = one
api_base = https://api.example.com/
backup_api_base = http://[::1]:9000
public_url = https://pay.example.com/machine/
client_cert_file = cert.pem
client_key_file = key.pem
order_ttl = 7200
code_ttl = 7000
query_interval = 60
[miniprogram]
app_id = wx9999999999999999
app_secret_file = app_secret
api_base = http://localhost:9000
screen_link = https://pay.example.com/m
[callbacks]
listen = [::1]:8000
[web]
listen = 0.0.0.0:8080
password_file = /etc/kiosk/web_password
api_token_file = api_token
[display]
driver = file
device = out/screen.png
size = 480x320
rotate = 270
[dispenser]
driver = xy
port = socket://127.0.0.1:4001
baudrate = 9600
vend_timeout = 90
[xy]
drop_sensor = no
lift = yes
repeat = vendor
poll_interval_ms = 500
sales_counter = on
[product:cola]
name = 可口可乐   ; the red one
name_en = Coca-Cola   # as printed
price = 3.5
image = images/cola.png
[slot:A1]
product = cola
address = 101
capacity = 999
""",
        )
        settings = load(path)
        assert settings.path == path
        assert (settings.kiosk.id, settings.kiosk.data_dir) == ("A-1", Path("/srv/kiosk"))
        assert (settings.kiosk.language, settings.kiosk.in_doubt) == ("en", InDoubt.HOLD)
        assert settings.kiosk.dispense_within_seconds == 5
        pay = settings.wechatpay
        assert (pay.api_key, pay.sign_type, pay.native_mode) == (API_KEY, SignType.MD5, NativeMode.ONE)
        assert (pay.api_base, pay.backup_api_base) == ("https://api.example.com", "http://[::1]:9000")
        assert pay.public_url == "https://pay.example.com/machine"
        assert (pay.client_cert_file, pay.client_key_file) == (tmp_path / "cert.pem", tmp_path / "key.pem")
        assert (pay.order_ttl_seconds, pay.code_ttl_seconds, pay.query_interval_seconds) == (7200, 7000, 60)
        assert settings.miniprogram is not None
        assert settings.miniprogram.app_secret == API_KEY
        assert settings.miniprogram.api_base == "http://localhost:9000"
        assert settings.miniprogram.screen_link == "https://pay.example.com/m"
        assert settings.callbacks == ListenAddress("::1", 8000)
        assert settings.web.listen == ListenAddress("0.0.0.0", 8080)  # noqa: S104 - a technician's phone must reach it
        assert (settings.web.api_token, settings.web.password_file) == (API_KEY, Path("/etc/kiosk/web_password"))
        display = settings.display
        assert (display.driver, display.device) == (DisplayDriver.FILE, tmp_path / "out/screen.png")
        assert (display.width, display.height, display.rotate) == (480, 320, 270)
        dispenser = settings.dispenser
        assert (dispenser.driver, dispenser.port) == (DispenserDriver.XY, "socket://127.0.0.1:4001")
        assert (dispenser.baudrate, dispenser.vend_timeout_seconds) == (9600, 90)
        assert dispenser.xy == XySettings(False, True, "vendor", 500, True)
        cola = settings.products[0]
        assert (cola.name, cola.name_en, cola.price_fen) == ("可口可乐", "Coca-Cola", 350)
        assert cola.image == tmp_path / "images/cola.png"
        assert settings.slots == (Slot("A1", "cola", 101, 999),)
        assert {file.name for file in settings.secret_files} == {
            "api_key", "app_secret", "api_token", "key.pem", "web_password"
        }  # fmt: skip

    def test_secrets_are_not_part_of_the_settings_text(self, tmp_path: Path) -> None:
        """Settings that are printed or logged as a whole show no secret."""
        assert API_KEY not in repr(load(write_ini(tmp_path)))

    @pytest.mark.parametrize(("size", "expected"), [("", (0, 0)), ("\nsize = 800x480", (800, 480))])
    def test_a_window_is_as_large_as_the_screen_unless_told(
        self, tmp_path: Path, size: str, expected: tuple[int, int]
    ) -> None:
        """Without a size nothing has to be known of the screen; idle pictures are shown after a minute."""
        change = ("driver = none", f"driver = window{size}\nidle_folder = idle")
        display = load(write_ini(tmp_path, change)).display

        assert (display.driver, display.width, display.height) == (DisplayDriver.WINDOW, *expected)
        assert (display.idle_folder, display.idle_after_seconds) == (tmp_path / "idle", 60)

    def test_a_byte_order_mark_and_windows_line_ends_are_fine(self, tmp_path: Path) -> None:
        """A file saved by a Windows editor is read like any other."""
        path = write_ini(tmp_path)
        path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n"))
        assert load(path).kiosk.name == "大堂饮料机"

    def test_percent_signs_stand_for_themselves(self, tmp_path: Path) -> None:
        """There is no interpolation."""
        assert load(write_ini(tmp_path, ("大堂饮料机", "100% %(id)s"))).kiosk.name == "100% %(id)s"

    @pytest.mark.parametrize(("price", "fen"), [("0.01", 1), ("3", 300), ("3.5", 350), ("19.99", 1999), ("0.29", 29)])
    def test_money_is_exact(self, tmp_path: Path, price: str, fen: int) -> None:
        """Yuan become fen without rounding."""
        assert load(write_ini(tmp_path, ("3.50", price))).products[0].price_fen == fen

    def test_a_serial_port_is_relative_to_the_ini(self, tmp_path: Path) -> None:
        """A port that is a path follows the rule of all paths."""
        path = write_ini(tmp_path, ("driver = fake", "driver = xy\nport = board"))
        assert load(path).dispenser.port == str(tmp_path / "board")

    def test_another_host_is_its_own_backup(self, tmp_path: Path) -> None:
        """A machine that talks to a simulator never falls back to WeChat itself."""
        path = write_ini(tmp_path, in_section("wechatpay", "api_base = http://127.0.0.1:9000"))
        assert load(path).wechatpay.backup_api_base == "http://127.0.0.1:9000"

    def test_systemd_credentials_come_first(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A bare file name is found under $CREDENTIALS_DIRECTORY, a path is not."""
        credentials = tmp_path / "credentials"
        credentials.mkdir()
        for name in ("api_key", "web_password"):
            (credentials / name).write_text("f" * 32)
        monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(credentials))
        bare = write_ini(tmp_path, (f"api_key = {API_KEY}", "api_key_file = api_key"))
        assert load(bare).wechatpay.api_key == "f" * 32
        assert load(bare).web.password_file == credentials / "web_password"
        elsewhere = write_ini(tmp_path, (f"api_key = {API_KEY}", "api_key_file = ./x/api_key"))
        assert "there is no file" in only_finding(elsewhere)

    def test_a_machine_with_a_keypad_of_its_own(self, tmp_path: Path) -> None:
        """[mdb]: what stands in it, and what holds without it."""
        keys = "address = 0x60\ncurrency = 978\nanswer_within = 90\nsettings = mdb-timeout=99 mdb-scale-factor=1"
        given = load(write_ini(tmp_path, mdb(keys))).dispenser
        bare = load(write_ini(tmp_path, ("driver = fake", "driver = mdb\nport = /dev/x"))).dispenser

        settings = (("mdb-timeout", "99"), ("mdb-scale-factor", "1"))
        assert MdbSettings(0x60, 978, 90, settings) == given.mdb
        assert (DispenserDriver.MDB, MdbSettings(0x10, 156, 60, ())) == (bare.driver, bare.mdb)

    def test_the_example_of_the_project_is_good(self) -> None:
        """kiosk.ini in the repository loads, and shows every section and key that there is."""
        example = Path(__file__).parents[2] / "kiosk.ini"
        settings = load(example)
        assert len(settings.products) >= 5
        assert settings.dispenser.driver is DispenserDriver.FAKE
        text = example.read_text(encoding="utf-8")
        for word in EVERY_KEY.split():
            assert word in text, word


def modbus(keys: str) -> tuple[str, str]:
    """The change that makes it a machine with a Modbus board, with these keys in its section."""
    return "driver = fake", f"driver = modbus\nport = /dev/x\n[modbus]\n{keys}"


def mdb(keys: str) -> tuple[str, str]:
    """The change that makes it a machine behind an MDB bridge, with these keys in its section."""
    return "driver = fake", f"driver = mdb\nport = /dev/x\n[mdb]\n{keys}"


def board(driver: str, address: str, more: str = "") -> tuple[str, str]:
    """The change that makes it a machine with a board, whose slot has this address."""
    product = "[product:cola]\nname = 可口可乐\nprice = 3.50\n\n[slot:11]\n"
    return (
        f"driver = fake\n\n{product}",
        f"driver = {driver}\nport = /dev/x\n\n{more}{product}address = {address}\n",
    )


# (what to change, the finding without the file's name)
BAD = [
    (("id = lobby-1\n", ""), "[kiosk] id: is missing; it must be 1 to 12 of A-Z a-z 0-9 -"),
    (("lobby-1", "lobby_1"), "[kiosk] id = 'lobby_1': must be 1 to 12 of A-Z a-z 0-9 -"),
    (("lobby-1", "a-machine-too-long"), "[kiosk] id = 'a-machine-too-long': must be 1 to 12 of A-Z a-z 0-9 -"),
    (("name = 大堂饮料机", "name ="), "[kiosk] name: is empty; give it a value or take the line out"),
    (in_section("kiosk", "language = fr"), "[kiosk] language = 'fr': must be zh_CN or en"),
    (in_section("kiosk", "langauge = en"), "[kiosk] langauge: there is no such key; did you mean language?"),
    (
        in_section("kiosk", "dispense_within = 4"),
        "[kiosk] dispense_within = '4': must be a whole number from 5 to 3600",
    ),
    (in_section("kiosk", "dispense_within = 3601"), "from 5 to 3600"),
    (in_section("kiosk", "dispense_within = soon"), "[kiosk] dispense_within = 'soon': must be a whole number"),
    (in_section("kiosk", "in_doubt = vend"), "[kiosk] in_doubt = 'vend': must be refund or hold"),
    (("[kiosk]", "[kiosk]\nid = x"), "[kiosk] id: stands twice, again in line 3; keep one"),
    (("name = 大堂饮料机", "name = a\n  language = en"), "[kiosk] name: goes on in an indented line"),
    (("wx8888888888888888", "8888"), "[wechatpay] app_id = '8888': must be wx and"),
    (("1900000109", "19000x"), "[wechatpay] mch_id = '19000x': must be the merchant number, digits only"),
    ((API_KEY, "short"), "[wechatpay] api_key: must hold 32 letters and digits; what it holds has 5 characters"),
    ((f"api_key = {API_KEY}\n", ""), "[wechatpay] api_key_file: is missing; it must be the path of a file"),
    ((f"api_key = {API_KEY}", "api_key_file = nope"), "[wechatpay] api_key_file = 'nope': there is no file /"),
    (in_section("wechatpay", "sign_type = SHA1"), "[wechatpay] sign_type = 'SHA1': must be MD5 or HMAC-SHA256"),
    (in_section("wechatpay", "native_mode = 2"), "[wechatpay] native_mode = '2': must be one or two"),
    (in_section("wechatpay", "native_mode = one"), "[wechatpay] public_url: is missing; native_mode = one needs it"),
    (
        in_section("wechatpay", "api_base = http://example.com"),
        "[wechatpay] api_base = 'http://example.com': must be https",
    ),
    (
        in_section("wechatpay", "public_url = pay.example.com"),
        "[wechatpay] public_url = 'pay.example.com': must be an add",
    ),
    (in_section("wechatpay", "public_url = https://a.example/?b=c"), "must be an address without user, ? and #"),
    (in_section("wechatpay", "public_url = https://a.example:port"), "must be an address such as"),
    (in_section("wechatpay", "backup_api_base = ftp://127.0.0.1"), "[wechatpay] backup_api_base = 'ftp://127.0.0.1'"),
    (in_section("wechatpay", "order_ttl = 4"), "[wechatpay] order_ttl = '4': must be a whole number from 5 to 7200"),
    (
        in_section("wechatpay", "code_ttl = 7001"),
        "[wechatpay] code_ttl = '7001': must be a whole number from 60 to 7000",
    ),
    (
        in_section("wechatpay", "query_interval = 0"),
        "[wechatpay] query_interval = '0': must be a whole number from 1 to 60",
    ),
    (("[callbacks]", "[miniprogram]\napp_id = wx1\n[callbacks]"), "[miniprogram] app_secret_file: is missing"),
    (
        ("[callbacks]\nlisten = 127.0.0.1:0", "[callbacks]\nlisten = 8000"),
        "[callbacks] listen = '8000': must be host:port",
    ),
    (
        ("[callbacks]\nlisten = 127.0.0.1:0", "[callbacks]\nlisten = a:65536"),
        "[callbacks] listen = 'a:65536': must be",
    ),
    (
        in_section("callbacks", "proxy = nginx"),
        "[callbacks] proxy = 'nginx': must be the address of the reverse proxy",
    ),
    (in_section("callbacks", "proxy = 10.0.0"), "[callbacks] proxy = '10.0.0': must be the address of the reverse"),
    (("127.0.0.1:0", "127.0.0.1:8000"), "[web] listen: must differ from [callbacks] listen"),
    (("driver = none", "driver = tv"), "[display] driver = 'tv': must be framebuffer, window, file or none"),
    (
        ("driver = none", "driver = none\nidle_after = 5"),
        "[display] idle_after = '5': must be a whole number from 10",
    ),
    (
        ("driver = none", "driver = file"),
        "[display] device: must name the picture that driver = file writes, ending in .png",
    ),
    (("driver = none", "driver = file\ndevice = a.jpg"), "ending in .png"),
    (in_section("display", "size = big"), "[display] size = 'big': must be WIDTHxHEIGHT"),
    (in_section("display", "size = 319x480"), "[display] size = '319x480': must have sides from 320 to 4096 pixels"),
    (in_section("display", "rotate = 45"), "[display] rotate = '45': must be 0, 90, 180 or 270"),
    (("driver = fake", ""), "[dispenser] driver: is missing; it must be fake, xy, modbus, tcn or mdb"),
    (("driver = fake", "driver = tcn"), "[dispenser] port: is missing; it must be the serial port of the board"),
    (modbus("profile = zdm9"), "[modbus] profile = 'zdm9': must be relay or zdm8"),
    (modbus("unit = 248"), "[modbus] unit = '248': must be a whole number from 1 to 247"),
    (modbus("pulse = 61"), "[modbus] pulse = '61': must be a number from 0.1 to 60"),
    (modbus("proof = maybe"), "[modbus] proof = 'maybe': must be input or none"),
    (modbus("bus = 1"), "[modbus] bus: there is no such key"),
    (modbus("sensor = no"), "[modbus] sensor: is only for profile = zdm8; take it out"),
    (modbus("profile = zdm8\npulse = 1"), "[modbus] pulse: is only for profile = relay; take it out"),
    (modbus("profile = zdm8\nmotor = fan"), "[modbus] motor = 'fan': must be coil, lock or belt"),
    (
        ("driver = fake", "driver = modbus\nport = /dev/x\nvend_timeout = 5\n[modbus]\npulse = 5"),
        "[modbus] pulse: must be shorter than [dispenser] vend_timeout, 5 seconds",
    ),
    (board("xy", "1001"), "[slot:11] address = '1001': must be a whole number from 1 to 1000"),
    (board("tcn", "81"), "[slot:11] address = '81': must be a whole number from 1 to 80"),
    (board("modbus", "256"), "[slot:11] address = '256': must be a whole number from 0 to 255"),
    (
        board("modbus", "100", "[modbus]\nprofile = zdm8\n\n"),
        "[slot:11] address = '100': must be a whole number from 0 to 99",
    ),
    (mdb("x = 1"), "[mdb] x: there is no such key"),
    (mdb("address = 16"), "[mdb] address = '16': must be 0x10 or 0x60"),
    (mdb("currency = CNY"), "[mdb] currency = 'CNY': must be a whole number from 1 to 999"),
    (mdb("answer_within = 20"), "[mdb] answer_within = '20': must be a whole number from 30 to 240"),
    (mdb("settings = mdb-timeout 90"), "[mdb] settings = 'mdb-timeout 90': must be NAME=VALUE"),
    (board("mdb", "65535"), "[slot:11] address = '65535': must be a whole number from 0 to 65534"),
    (("driver = fake", "driver = xy"), "[dispenser] port: is missing; it must be the serial port of the board"),
    (in_section("dispenser", "baudrate = 5"), "[dispenser] baudrate = '5': must be 1200, 2400"),
    (
        in_section("dispenser", "vend_timeout = 601"),
        "[dispenser] vend_timeout = '601': must be a whole number from 5 to 600",
    ),
    (
        ("[product:cola]", "[xy]\nlift = maybe\n[product:cola]"),
        "[xy]: is only for [dispenser] driver = xy; take it out",
    ),
    (("driver = fake", "driver = xy\nport = a\n[xy]\nlift = perhaps"), "[xy] lift = 'perhaps': must be yes or no"),
    (
        ("driver = fake", "driver = xy\nport = a\n[xy]\npoll_interval_ms = 150"),
        "[xy] poll_interval_ms = '150': must be 100, ",
    ),
    (
        ("driver = fake", "driver = xy\nport = a\n[xy]\nrepeat = once"),
        "[xy] repeat = 'once': must be never or vendor",
    ),
    (("cola", "co la"), "[product:co la]: the id after product: must be 1 to 32 of"),
    (
        ("price = 3.50", "price = 3.505"),
        "[product:cola] price = '3.505': must be yuan from 0.01 to 50000.00 with at most two",
    ),
    (("price = 3.50", "price = 0"), "[product:cola] price = '0': must be yuan"),
    (("price = 3.50", "price = -1"), "[product:cola] price = '-1': must be yuan"),
    (("price = 3.50", "price = 1e3"), "[product:cola] price = '1e3': must be yuan"),
    (("price = 3.50", "price = ٣"), "[product:cola] price = '٣': must be yuan"),
    (("price = 3.50\n", ""), "[product:cola] price: is missing; it must be yuan"),
    (("price = 3.50", "price = 3.50\ncolour = red"), "[product:cola] colour: there is no such key; known are"),
    (("product = cola", "product = coal"), "[slot:11] product = 'coal': there is no [product:coal]; there are cola"),
    (("product = cola", ""), "[slot:11] product: is missing"),
    (("[slot:11]", "[slot:1.1]\naddress = 1"), "[slot:1.1]: the id after slot: must be 1 to 16 of"),
    (("[slot:11]", "[slot:A1]"), "[slot:A1] address: is missing; it must be the board's number for this slot"),
    (("[slot:11]", "[slot:11]\naddress = x"), "[slot:11] address = 'x': must be a whole number from 0 to 65535"),
    (("capacity = 8", "capacity = 0"), "[slot:11] capacity = '0': must be a whole number from 1 to 999"),
    (("capacity = 8", "capacity = 1000"), "[slot:11] capacity = '1000': must be a whole number from 1 to 999"),
    (("capacity = 8\n", ""), "[slot:11] capacity: is missing; it must be a whole number from 1 to 999"),
    (
        ("[slot:11]", "[slot:2]\nproduct = cola\ncapacity = 1\naddress = 11\n[slot:11]"),
        "[slot:11] address = '11': is also that",
    ),
    (("[display]", "[dispaly]"), "[dispaly]: there is no such section; did you mean display?"),
    (("[callbacks]", "[DEFAULT]\nlisten = x\n[callbacks]"), "[DEFAULT]: there is no such section; known are"),
    (("[callbacks]", "[kiosk]\n[callbacks]"), "[kiosk]: stands twice, again in line 10; keep one"),
    (("[callbacks]", "nonsense\n[callbacks]"), "line 10: is neither [section] nor key = value"),
    (("[kiosk]", "id = 1\n[kiosk]"), "line 1: stands before the first [section]; put it into one"),
]


# What would sell other than by the choice at the machine's keypad.
NOT_BESIDE_A_KEYPAD = {
    "native_mode = one\npublic_url = https://a.example": "[wechatpay] native_mode = 'one': must be two with",
    "[miniprogram]\napp_id = wx8888888888888888\napp_secret_file = secret": "[miniprogram]: take it out",
}
RANGES = [
    ("kiosk", "dispense_within", 5, 3600),
    ("wechatpay", "order_ttl", 5, 7200),
    ("wechatpay", "code_ttl", 60, 7000),
    ("wechatpay", "query_interval", 1, 60),
    ("dispenser", "vend_timeout", 5, 600),
    ("slot:11", "address", 0, 65535),
]


class TestMistakes:
    @pytest.mark.parametrize(("change", "expected"), BAD, ids=[expected[:60] for _, expected in BAD])
    def test_each_is_told_with_place_value_and_remedy(
        self, tmp_path: Path, change: tuple[str, str], expected: str
    ) -> None:
        """One mistake gives one sentence with section, key, bad value and what would be right."""
        assert expected in only_finding(write_ini(tmp_path, change))

    @pytest.mark.parametrize(("lines", "expected"), NOT_BESIDE_A_KEYPAD.items())
    def test_ways_to_pay_that_a_keypad_excludes(self, tmp_path: Path, lines: str, expected: str) -> None:
        """With driver = mdb the customer chooses at the machine: static codes and the mini-program are mistakes."""
        (tmp_path / "secret").write_text("s" * 32)
        wechatpay = ("[callbacks]", f"{lines}\n[callbacks]")
        assert expected in only_finding(write_ini(tmp_path, mdb(""), wechatpay))

    def test_a_link_that_no_small_screen_could_show_is_refused(self, tmp_path: Path) -> None:
        """The code that opens the mini-program must not cost all the others their place."""
        (tmp_path / "secret").write_text("5ec2e7")
        section = "[miniprogram]\napp_id = wx1\napp_secret_file = secret\nscreen_link = https://a.example/"
        load(write_ini(tmp_path, ("[callbacks]", f"{section}{'m' * 132}\n[callbacks]")))
        found = only_finding(write_ini(tmp_path, ("[callbacks]", f"{section}{'m' * 133}\n[callbacks]")))

        assert "[miniprogram] screen_link: must have 150 characters at most" in found

    @pytest.mark.parametrize(("section", "key", "low", "high"), RANGES)
    def test_both_ends_of_a_range_are_in_it(
        self, tmp_path: Path, section: str, key: str, low: int, high: int
    ) -> None:
        """The first and last value are accepted, their neighbours outside are not."""
        for value in (low, high):
            load(write_ini(tmp_path, in_section(section, f"{key} = {value}")))
        for value in (low - 1, high + 1):
            found = only_finding(write_ini(tmp_path, in_section(section, f"{key} = {value}")))
            assert found == f"[{section}] {key} = '{value}': must be a whole number from {low} to {high}"

    def test_all_are_told_at_once(self, tmp_path: Path) -> None:
        """An ini with every kind of mistake is told off in one go, each finding naming the file."""
        path = write_ini(
            tmp_path,
            ("lobby-1", "lobby 1"),
            ("[callbacks]", "gibberish\n[callbacks]"),
            ("price = 3.50", "price = free"),
            ("product = cola", "product = tea"),
            ("driver = fake", "driver = magic"),
            in_section("web", "passwort_file = x"),
        )
        found = findings(path)
        assert len(found) == 6
        assert all(finding.startswith(f"{path}: ") for finding in found)

    def test_a_machine_without_products_is_a_mistake(self, tmp_path: Path) -> None:
        """An ini that sells nothing is refused."""
        path = write_ini(tmp_path, text=GOOD[: GOOD.index("[product:")])
        assert only_finding(path).startswith("[product:ID]: there is no such section")

    @pytest.mark.parametrize(
        ("keys", "expected"),
        [
            ("", ModbusSettings()),
            (
                "profile = relay\nunit = 7\npulse = 1.5\nproof = none",
                ModbusSettings(ModbusProfile.RELAY, 7, pulse_seconds=1.5, proof_by_input=False),
            ),
            (
                "profile = zdm8\nunit = 2\nsensor = no\nmotor = belt",
                ModbusSettings(ModbusProfile.ZDM8, 2, sensor=False, motor="belt"),
            ),
        ],
    )
    def test_the_section_of_modbus_boards(self, tmp_path: Path, keys: str, expected: ModbusSettings) -> None:
        """Every key of both profiles reaches its place; left out, the relay board of the contract."""
        assert load(write_ini(tmp_path, modbus(keys))).dispenser.modbus == expected

    def test_the_section_of_tcn_boards(self, tmp_path: Path) -> None:
        """Its one key, and what holds without it."""
        change = ("driver = fake", "driver = tcn\nport = /dev/x")
        assert load(write_ini(tmp_path, change)).dispenser.tcn == TcnSettings(drop_sensor=True)
        without = (change[0], f"{change[1]}\n[tcn]\ndrop_sensor = no")
        assert load(write_ini(tmp_path, without)).dispenser.tcn == TcnSettings(drop_sensor=False)

    def test_a_certificate_needs_its_key(self, tmp_path: Path) -> None:
        """client_cert_file and client_key_file come together or not at all."""
        (tmp_path / "some.pem").write_text("x")
        for one, other in (("cert", "key"), ("key", "cert")):
            path = write_ini(tmp_path, in_section("wechatpay", f"client_{one}_file = some.pem"))
            assert only_finding(path).startswith(f"[wechatpay] client_{other}_file: is missing")

    def test_no_secret_is_ever_shown(self, tmp_path: Path) -> None:
        """Secrets that are wrong, misplaced or on a broken line stay out of every finding."""
        (tmp_path / "two_lines").write_text(f"{SECRET}\n{SECRET}\n")
        for change in (
            (f"api_key = {API_KEY}", f"api_key = {SECRET}"),
            (f"api_key = {API_KEY}", f"api_key {SECRET}"),
            (f"api_key = {API_KEY}", "api_key_file = two_lines"),
            (f"api_key = {API_KEY}", f"api_key_file = {API_KEY}"),
            (f"api_key = {API_KEY}", f"api_key = {API_KEY}\napi_key_file = {API_KEY}"),
            ("[web]", f"[miniprogram]\napp_id = wx1\napp_secret_file = {API_KEY}\n[web]"),
            ("[web]", f"[miniprogram]\napp_id = wx1\napp_secret_file = two_lines\napp_secret = {SECRET}\n[web]"),
        ):
            text = "\n".join(findings(write_ini(tmp_path, change)))
            assert SECRET not in text
            assert API_KEY not in text

    def test_one_line_end_is_taken_from_a_secret(self, tmp_path: Path) -> None:
        """A secret file may end in a newline, as editors leave it, and in nothing else."""
        path = write_ini(tmp_path, (f"api_key = {API_KEY}", "api_key_file = key"))
        for content in (API_KEY, API_KEY + "\n", API_KEY + "\r\n"):
            (tmp_path / "key").write_bytes(content.encode())
            assert load(path).wechatpay.api_key == API_KEY
        for content in (API_KEY + "\n\n", API_KEY + " ", "", "密" * 32):
            (tmp_path / "key").write_bytes(content.encode())
            assert only_finding(path).startswith("[wechatpay] api_key_file")


class TestUnreadable:
    @pytest.mark.parametrize(
        ("content", "sentence"),
        [
            (None, "cannot be read: No such file or directory; name the right file with -c"),
            (b"[kiosk]\nname = \xb4\xf3\n", "line 2 is not UTF-8; save the file as UTF-8"),
            (b"#" * 300_000, "is larger than 262144 bytes; this is no kiosk.ini"),
        ],
    )
    def test_a_file_that_cannot_be_read_says_why(self, tmp_path: Path, content: bytes | None, sentence: str) -> None:
        """Missing, wrongly encoded and absurd files are told apart from wrong ones."""
        path = tmp_path / "kiosk.ini"
        if content is not None:
            path.write_bytes(content)
        with pytest.raises(ConfigError) as caught:
            load(path)
        assert caught.value.unreadable
        assert sentence in caught.value.findings[0]

    def test_any_bytes_are_answered_by_sentences(self, tmp_path: Path) -> None:
        """A file that is no ini at all is told off, without a crash."""
        path = tmp_path / "kiosk.ini"
        for content in (b"", b"\0\0\0", b"[", b"[]", b"= 1", b"[a]\n= 1", b"<xml>\n" * 1000, b"[x]\n:\n[x]\n[x]\n"):
            path.write_bytes(content)
            assert findings(path)


class TestPasswordFile:
    def test_it_is_found_in_an_unfinished_ini(self, tmp_path: Path) -> None:
        """The password can be set before the rest of the ini is right."""
        path = write_ini(tmp_path, text="[kiosk]\nid =\n[web]\npassword_file = pw\n")
        assert load_password_file(path) == tmp_path / "pw"

    def test_a_mistake_in_it_is_told(self, tmp_path: Path) -> None:
        """A bad password_file is a finding here too."""
        path = write_ini(tmp_path, text="[web]\npassword_file =\n")
        with pytest.raises(ConfigError, match="password_file: is empty"):
            load_password_file(path)
