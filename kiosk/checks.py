"""`kiosk check`: looks at everything that kiosk.ini names, and tells what would stop the machine from selling.

Every check is a function from settings to sentences; none of them changes anything. Checks of what a running machine
holds (ports, screen) are left out while it runs.
"""

from __future__ import annotations

import asyncio
import errno
import http.client
import os
import shutil
import socket
import stat
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from PIL import Image, UnidentifiedImageError

from display.fonts import NO_FONT, find_font, missing_glyphs
from display.pictures import MAX_PICTURE_BYTES, MAX_PICTURE_PIXELS, PictureError, open_picture
from display.slideshow import files_in
from hardware.dispenser import Status
from hardware.serial_link import check_port
from kiosk.clock import Clock, SystemClock
from kiosk.database import DatabaseError, connect_to_read
from kiosk.journal import JOURNAL_FILE
from kiosk.settings import DispenserDriver, DisplayDriver, ListenAddress, Settings
from kiosk.web import SERVER_NAME
from kiosk.web.password import PasswordFileError, load_hash

APP_ID_LENGTH = 18  # wx and 16 hexadecimal digits, as WeChat has always given them
MIN_TOKEN_CHARACTERS = 16  # a token is guessed by programs, not by hands: 16 random characters hold
CERTIFICATE_WARNING = timedelta(days=30)  # time enough to fetch a new one from the merchant platform
MIN_FREE_BYTES = 100 * 1000 * 1000  # a year of 1000 orders a day takes about this much
BOARD_SECONDS = 5.0  # a board that is there has said what it is within two seconds of opening its port
RUNNING_TIMEOUT_SECONDS = 1.0  # a machine on this computer answers within milliseconds


def check(settings: Settings, clock: Clock | None = None) -> list[str]:
    """All findings; none means that the machine can sell. Blocks for a second or two."""
    now = (clock or SystemClock()).now()
    findings = [
        *_numbers(settings),
        *_secrets(settings),
        *_password(settings),
        *_certificate(settings, now),
        *_products(settings),
        *_pictures(settings),
        *_idle_pictures(settings),
        *_fonts(settings),
        *_data_dir(settings),
        *_journal(settings),
        *_screen_file(settings),
    ]
    if not machine_is_running(settings):
        findings += [*_serial_port(settings), *_screen(settings), *_listeners(settings)]
    return findings


def machine_is_running(settings: Settings) -> bool:
    """Whether a machine answers on the technician's listener."""
    host, port = settings.web.listen.host, settings.web.listen.port
    if host in {"0.0.0.0", "::"}:  # noqa: S104 - compared, not bound
        host = "127.0.0.1" if host == "0.0.0.0" else "::1"  # noqa: S104 - as above
    if not port:
        return False
    connection = http.client.HTTPConnection(host, port, timeout=RUNNING_TIMEOUT_SECONDS)
    try:
        connection.request("GET", "/healthz")
        answer = connection.getresponse()
        return answer.status in {200, 503} and answer.getheader("Server") == SERVER_NAME
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _numbers(settings: Settings) -> Iterator[str]:
    app_ids = {"wechatpay": settings.wechatpay.app_id}
    if settings.miniprogram is not None:
        app_ids["miniprogram"] = settings.miniprogram.app_id
    for section, app_id in app_ids.items():
        if len(app_id) != APP_ID_LENGTH:
            yield f"[{section}] app_id = {app_id}: has {len(app_id)} characters; WeChat's have {APP_ID_LENGTH}"
    if settings.web.api_token is not None and len(settings.web.api_token) < MIN_TOKEN_CHARACTERS:
        yield (
            "[web] api_token_file: the token can be guessed; "
            f"put at least {MIN_TOKEN_CHARACTERS} random characters into the file"
        )


def _secrets(settings: Settings) -> Iterator[str]:
    credentials = os.environ.get("CREDENTIALS_DIRECTORY")
    for file in dict.fromkeys(settings.secret_files):
        if credentials and file.is_relative_to(credentials):
            continue  # systemd guards these
        try:
            mode = stat.S_IMODE(file.stat().st_mode)
        except OSError:
            continue  # told where the file is used
        if mode & 0o077:
            what = "the secret in it; move it to a file of its own (api_key_file)" if file == settings.path else "it"
            yield f"{file}: other users can read {what} (mode {mode:04o}); run: chmod 600 {file}"


def _password(settings: Settings) -> Iterator[str]:
    file = settings.web.password_file
    try:
        if load_hash(file) is None:
            yield f"[web] password_file = {file}: no password is set; run: kiosk set-password -c {settings.path}"
    except PasswordFileError as error:
        yield f"[web] password_file: {error}"


def _certificate(settings: Settings, now: datetime) -> Iterator[str]:
    cert_file, key_file = settings.wechatpay.client_cert_file, settings.wechatpay.client_key_file
    if cert_file is None or key_file is None:
        return
    certificate = key = None
    try:
        certificate = x509.load_pem_x509_certificate(cert_file.read_bytes())
    except OSError as error:
        yield f"[wechatpay] client_cert_file = {cert_file}: cannot be read: {error.strerror}"
    except ValueError:
        yield f"[wechatpay] client_cert_file = {cert_file}: is no PEM certificate; take the merchant platform's"
    try:
        key = load_pem_private_key(key_file.read_bytes(), password=None)
    except OSError as error:
        yield f"[wechatpay] client_key_file = {key_file}: cannot be read: {error.strerror}"
    except (ValueError, TypeError):  # TypeError: it is encrypted
        yield f"[wechatpay] client_key_file = {key_file}: is no PEM key without a passphrase"
    if certificate is None:
        return
    if key is not None and certificate.public_key() != key.public_key():
        yield f"[wechatpay] client_key_file = {key_file}: does not belong to the certificate in client_cert_file"
    end = certificate.not_valid_after_utc
    if now < certificate.not_valid_before_utc:
        yield f"[wechatpay] client_cert_file = {cert_file}: is not valid yet; is this computer's clock right?"
    elif now >= end:
        yield f"[wechatpay] client_cert_file = {cert_file}: expired on {end:%Y-%m-%d}; fetch a new one for refunds"
    elif now >= end - CERTIFICATE_WARNING:
        yield f"[wechatpay] client_cert_file = {cert_file}: expires on {end:%Y-%m-%d}; fetch a new one before"


def _products(settings: Settings) -> Iterator[str]:
    held = {slot.product_id for slot in settings.slots}
    for product in settings.products:
        if product.id not in held:
            yield f"[product:{product.id}]: no slot holds it, so it is never for sale"


def _pictures(settings: Settings) -> Iterator[str]:
    for product in settings.products:
        if product.image is None:
            continue
        start = f"[product:{product.id}] image = {product.image}:"
        try:
            if product.image.stat().st_size > MAX_PICTURE_BYTES:
                yield f"{start} is larger than {MAX_PICTURE_BYTES // 1_000_000} MB; make it smaller"
                continue
            with Image.open(product.image, formats=("PNG", "JPEG")) as image:
                if image.width * image.height > MAX_PICTURE_PIXELS:
                    yield f"{start} has more than {MAX_PICTURE_PIXELS // 1_000_000} million pixels; make it smaller"
                    continue
                image.load()
        except UnidentifiedImageError:
            yield f"{start} is neither PNG nor JPEG"
        except Image.DecompressionBombError:
            yield f"{start} has more than {MAX_PICTURE_PIXELS // 1_000_000} million pixels; make it smaller"
        except OSError as error:
            yield f"{start} cannot be read: {error.strerror or error}"
        except (SyntaxError, ValueError) as error:  # Pillow's words for a damaged PNG
            yield f"{start} is damaged: {error}"


def _idle_pictures(settings: Settings) -> Iterator[str]:
    folder = settings.display.idle_folder
    if folder is None:
        return
    try:
        files = files_in(folder)
    except OSError as error:
        yield f"[display] idle_folder = {folder}: cannot be read: {error.strerror}"
        return
    if not files:
        yield f"[display] idle_folder = {folder}: there is no picture in it; put PNG or JPEG files into it"
    for file in files:
        try:
            open_picture(file)
        except PictureError as error:
            yield f"[display] idle_folder: {error}; it is skipped"


def _fonts(settings: Settings) -> Iterator[str]:
    if find_font() is None:
        yield NO_FONT
        return
    names = {"[kiosk] name": settings.kiosk.name}
    for product in settings.products:
        names[f"[product:{product.id}] name"] = product.name
        if product.name_en != product.name:
            names[f"[product:{product.id}] name_en"] = product.name_en
    for key, name in names.items():
        missing = missing_glyphs(name)
        if missing:
            yield f"{key} = {name}: the font {find_font()} has no {' '.join(missing)}; they would be painted as boxes"


def _data_dir(settings: Settings) -> Iterator[str]:
    folder = settings.kiosk.data_dir
    start = f"[kiosk] data_dir = {folder}:"
    wrong = _not_writable(folder)
    if wrong:
        yield f"{start} {wrong}"
        return
    free = shutil.disk_usage(_nearest(folder)).free
    if free < MIN_FREE_BYTES:
        yield f"{start} {free // 1_000_000} MB are free on its disk; free {MIN_FREE_BYTES // 1_000_000} at least"


def _journal(settings: Settings) -> Iterator[str]:
    file = settings.kiosk.data_dir / JOURNAL_FILE
    if not file.exists():
        return  # made at the first start
    try:
        connect_to_read(file).close()
    except DatabaseError as error:
        yield f"[kiosk] data_dir: {error}"


def _screen_file(settings: Settings) -> Iterator[str]:
    display = settings.display
    if display.driver is DisplayDriver.FILE and display.device is not None:
        folder = display.device.parent
        wrong = _not_writable(folder) if folder.exists() else "is not there: make it"
        if wrong:
            yield f"[display] device = {display.device}: its folder {wrong}"


def _serial_port(settings: Settings) -> Iterator[str]:
    chosen = settings.dispenser
    if chosen.driver is DispenserDriver.FAKE or chosen.port is None:
        return
    wrong = check_port(chosen.port, chosen.baudrate or 9600)
    if wrong:
        yield f"[dispenser] port = {chosen.port}: {wrong}"
        return
    board = asyncio.run(_board_status(settings))
    if not board.ready:
        yield f"[dispenser] port = {chosen.port}: {board.reason}"
    elif board.slots is not None:
        for slot in settings.slots:
            if slot.address not in board.slots:
                yield (
                    f"[slot:{slot.id}] address = {slot.address}: the board says that it has no such slot; "
                    f"it has {len(board.slots)}, from {min(board.slots)} to {max(board.slots)}"
                )


async def _board_status(settings: Settings) -> Status:
    """What the driver knows once it has asked the board what it is; nothing is moved."""
    from kiosk.drivers import make_dispenser  # noqa: PLC0415 - as in _screen

    dispenser = make_dispenser(settings)
    changed = asyncio.Event()
    dispenser.on_status(changed.set)
    await dispenser.start()
    try:
        async with asyncio.timeout(BOARD_SECONDS):
            while not dispenser.status.ready:
                changed.clear()
                await changed.wait()
    except TimeoutError:
        pass
    status = dispenser.status
    await dispenser.stop()
    return status


def _screen(settings: Settings) -> Iterator[str]:
    display = settings.display
    if display.driver not in {DisplayDriver.FRAMEBUFFER, DisplayDriver.WINDOW}:
        return
    from display.screen import ScreenError  # noqa: PLC0415 - only for a real screen: it loads painters and drivers
    from kiosk.drivers import screen_opener  # noqa: PLC0415 - as above

    try:
        screen_opener(settings)().close()
    except ScreenError as error:
        key = f"device = {display.device}" if display.driver is DisplayDriver.FRAMEBUFFER else "driver = window"
        yield f"[display] {key}: {error}"


def _listeners(settings: Settings) -> Iterator[str]:
    for section, listen in (("callbacks", settings.callbacks), ("web", settings.web.listen)):
        wrong = _not_free(listen)
        if wrong:
            yield f"[{section}] listen = {listen.host}:{listen.port}: {wrong}"


def _not_free(listen: ListenAddress) -> str:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            listen.host, listen.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the listener will do
            probe.bind(address)
    except socket.gaierror as error:
        return f"the host is not known: {error.strerror}"
    except OSError as error:
        match error.errno:
            case errno.EADDRINUSE:
                return "another program listens there already; end it, or choose another port"
            case errno.EADDRNOTAVAIL:
                return "this computer does not have that address"
            case errno.EACCES:
                return "this user may not listen on that port; choose one from 1024 up"
            case _:
                return f"cannot be listened on: {error.strerror}"
    return ""


def _nearest(path: Path) -> Path:
    """The path itself, or the nearest folder above it that exists."""
    return next(candidate for candidate in (path, *path.parents) if candidate.exists())


def _not_writable(folder: Path) -> str:
    """Why files cannot be put into the folder, which is made when it is missing; empty if they can."""
    nearest = _nearest(folder)
    if not nearest.is_dir():
        return f"cannot be made: {nearest} is not a folder"
    if not os.access(nearest, os.W_OK | os.X_OK):
        return f"cannot be written by this user; change the owner of {nearest}"
    return ""
