"""The scratch folder of the demo: a complete kiosk.ini and everything that it names."""

from __future__ import annotations

import contextlib
import secrets
import socket
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from kiosk.settings import NativeMode
from kiosk.simulation.messages import Merchant
from kiosk.web.password import set_password

MCH_ID = "1900000109"
APP_ID = "wx8888888888888888"
MINIPROGRAM_APP_ID = "wx7777777777777777"
SCREEN = (1080, 1920)  # every product on one page, also with the dense codes of native mode one
PICTURES = Path(__file__).parent / "pictures"


@dataclass(frozen=True)
class Good:
    """Something that the demo's machine sells."""

    id: str
    name: str
    name_en: str
    price: str  # yuan, as in kiosk.ini
    slots: tuple[str, ...]
    capacity: int = 8

    @property
    def picture(self) -> Path | None:
        """Its picture, if there is one."""
        file = PICTURES / f"{self.id}.png"
        return file if file.is_file() else None


GOODS = (
    Good("cola", "可口可乐", "Coca-Cola", "3.50", ("11", "12")),  # two slots: one may jam
    Good("sprite", "雪碧", "Sprite", "3.50", ("13",)),
    Good("water", "农夫山泉", "Spring water", "2.00", ("14",), 10),
    Good("tea", "冰红茶", "Iced tea", "4.00", ("21",)),
    Good("coffee", "拿铁咖啡", "Latte", "6.50", ("22",), 6),
    Good("juice", "鲜橙汁", "Orange juice", "5.00", ("23",), 6),
    Good("milk", "纯牛奶", "Milk", "4.50", ("24",), 6),
    Good("chips", "薯片", "Crisps", "5.50", ("31",), 6),
    Good("chocolate", "巧克力", "Chocolate", "7.00", ("32",), 6),
    Good("noodles", "方便面", "Cup noodles", "6.00", ("33",), 1),  # the last one: after a sale it is sold out
)


@dataclass(frozen=True)
class Scratch:
    """Where everything of one demo is."""

    folder: Path
    ini: Path
    password: str
    callbacks_port: int
    web_port: int

    @property
    def machine(self) -> str:
        """Where WeChat and the mini-program reach the machine."""
        return f"http://127.0.0.1:{self.callbacks_port}"

    @property
    def data_dir(self) -> Path:
        """The machine's books."""
        return self.folder / "var"

    @property
    def screen(self) -> Path:
        """The machine's picture, once there is one."""
        return self.folder / "screen.png"

    @property
    def board(self) -> Path:
        """The link to the board's pseudo-terminal."""
        return self.folder / "board"

    @property
    def log(self) -> Path:
        """What the machine process says."""
        return self.folder / "machine.log"


def furnish(
    folder: Path, *, ports: Sequence[int], wechat: str, native_mode: NativeMode, language: str, merchant: Merchant
) -> Scratch:
    """Fill a folder; blocks for keys and hashes.

    `ports`: of [callbacks] and of [web]. `wechat`: the address of the simulated WeChat Pay. `merchant`: who it works
    for, the mini-program included.
    """
    scratch = Scratch(folder, folder / "kiosk.ini", secrets.token_urlsafe(9), *ports)
    private = folder / "secrets"
    private.mkdir(mode=0o700)
    _write_private(private / "api_key", merchant.api_key.encode())
    _write_private(private / "app_secret", merchant.miniprogram_secret.encode())
    _write_certificate(private)
    set_password(private / "web_password", scratch.password)
    width, height = SCREEN
    lines = [
        "# Made by `kiosk demo`; gone when it ends.",
        "[kiosk]",
        "id = demo-1",
        f"name = {'大堂饮料机' if language == 'zh_CN' else 'Lobby drinks'}",
        f"language = {language}",
        f"data_dir = {scratch.data_dir}",
        "dispense_within = 30",  # as vend_timeout below: nobody wants to look at a demo for minutes
        "[wechatpay]",
        f"app_id = {APP_ID}",
        f"mch_id = {MCH_ID}",
        "api_key_file = secrets/api_key",
        f"native_mode = {native_mode.value}",
        f"api_base = {wechat}",
        f"backup_api_base = {wechat}",
        f"public_url = {scratch.machine}",
        "client_cert_file = secrets/apiclient_cert.pem",
        "client_key_file = secrets/apiclient_key.pem",
        "[miniprogram]",
        f"app_id = {MINIPROGRAM_APP_ID}",
        "app_secret_file = secrets/app_secret",
        f"api_base = {wechat}",
        "[callbacks]",
        f"listen = 127.0.0.1:{scratch.callbacks_port}",
        "[web]",
        f"listen = 127.0.0.1:{scratch.web_port}",
        "password_file = secrets/web_password",
        "[display]",
        "driver = file",
        f"device = {scratch.screen}",
        f"size = {width}x{height}",
        "[dispenser]",
        "driver = xy",
        f"port = {scratch.board}",
        "vend_timeout = 12",
    ]
    for good in GOODS:
        lines += [f"[product:{good.id}]", f"name = {good.name}", f"name_en = {good.name_en}", f"price = {good.price}"]
        if good.picture is not None:
            lines.append(f"image = {good.picture}")
    for good in GOODS:
        for slot in good.slots:
            lines += [f"[slot:{slot}]", f"product = {good.id}", f"capacity = {good.capacity}"]
    scratch.ini.write_text("\n".join(lines) + "\n")
    return scratch


@contextlib.contextmanager
def free_ports(count: int) -> Iterator[list[int]]:
    """Ports of this computer that nobody else is given until the end of the block, also while nobody listens there.

    Each is bound to a socket that never listens. A server whose sockets have SO_REUSEADDR, as Tornado's have, can
    listen there all the same (socket(7)); connections and those who ask for any port get others.
    """
    with contextlib.ExitStack() as held:
        ports = []
        for _ in range(count):
            holder = held.enter_context(socket.socket())
            holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            holder.bind(("127.0.0.1", 0))
            ports.append(holder.getsockname()[1])
        yield ports


def _write_certificate(folder: Path) -> None:
    """A client certificate as the merchant platform would issue it, but signed by itself: refunds need one."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, MCH_ID)])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=365))
        .sign(key, hashes.SHA256())
    )
    _write_private(folder / "apiclient_cert.pem", certificate.public_bytes(serialization.Encoding.PEM))
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    _write_private(folder / "apiclient_key.pem", pem)


def _write_private(file: Path, content: bytes) -> None:
    file.touch(mode=0o600)
    file.write_bytes(content)
