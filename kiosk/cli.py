"""The commands. Thin: parse, call, print.

Each command imports what it needs when it runs: `kiosk --help` loads nothing but click, and `kiosk run` shows its
first screen sooner for not loading the simulators.
"""

# ruff: noqa: PLC0415 - the imports inside the commands are meant, see above

from __future__ import annotations

import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import click

from kiosk import __version__, cli_books, cli_reconcile
from kiosk.cli_config import BAD_INI, exit_with, load_or_exit, with_config

SIMULATED_PROTOCOLS = ("xy", "modbus-relay", "modbus-zdm8", "tcn", "mdb")  # what `hardware.simulators` can make
PRINTED_MODULE_PIXELS = 16  # some 900 pixels in all: sharp at 300 dpi on a label of 7 cm


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__)
def cli() -> None:
    """Control a vending machine that sells through WeChat Pay."""


@cli.command()
@with_config
def run(config: Path) -> None:
    """Run the machine until SIGTERM or SIGINT; a vend under way is finished first."""
    settings = load_or_exit(config)
    import faulthandler

    from kiosk import logs
    from kiosk.machine import run_machine

    faulthandler.enable()  # systemd ends a hung machine by SIGABRT: the log then shows where it hung
    logs.set_up(settings.secrets)
    sys.exit(run_machine(settings))


@cli.command()
@with_config
def check(config: Path) -> None:
    """Read the ini and everything that it names; print each finding on a line of its own."""
    from kiosk.checks import check as find
    from kiosk.config import ConfigError, load

    try:
        findings = find(load(config))
    except ConfigError as error:
        click.echo("\n".join(error.findings))
        sys.exit(BAD_INI if error.unreadable else 1)
    if findings:
        click.echo("\n".join(findings))
        sys.exit(1)
    click.echo(f"{config}: all well")


@cli.command()
@click.option("--buy", metavar="PRODUCT", help="Make one purchase without a person, print its steps, and stop.")
@click.option("--headless", is_flag=True, help="Open no browser.")
@click.option("--port", type=click.IntRange(0, 65535), help="Where the phone page listens; any free port if 0.")
@click.option("--native-mode", type=click.Choice(["one", "two"]), default="two", show_default=True)
@click.option("--miniprogram", is_flag=True, help="With --buy: order and pay in the mini-program, not by a code.")
def demo(buy: str | None, headless: bool, port: int | None, native_mode: str, miniprogram: bool) -> None:
    """Run a whole machine with simulated WeChat Pay and board: nothing else is needed."""
    from kiosk.settings import NativeMode
    from kiosk.simulation.demo import run

    mode = NativeMode(native_mode)
    sys.exit(run(buy=buy, headless=headless, port=port, native_mode=mode, miniprogram=miniprogram))


@cli.command()
@click.argument("product")
@click.option("-o", "--output", type=click.Path(path_type=Path), metavar="FILE.png", help="Write a picture there.")
@with_config
def qr(product: str, output: Path | None, config: Path) -> None:
    """Write the static code of PRODUCT as a PNG for printing; without -o print the link in it."""
    settings = load_or_exit(config)
    if settings.product(product) is None:
        known = ", ".join(item.id for item in settings.products)
        raise click.ClickException(f"{config}: there is no [product:{product}]; there are {known}")
    if settings.wechatpay.public_url is None:
        click.echo(f"{config}: without [wechatpay] public_url nobody will answer whoever scans this code", err=True)
    import secrets
    import time

    from kiosk.payments.wechat.native import native_link

    link = native_link(settings.wechatpay, product, time_stamp=int(time.time()), nonce=secrets.token_hex(16))
    if output is None:
        click.echo(link)
        return
    import qrcode
    from qrcode.image.pil import PilImage

    code = qrcode.QRCode(box_size=PRINTED_MODULE_PIXELS, border=4)  # four modules of quiet zone: ISO/IEC 18004
    code.add_data(link)
    try:
        with output.open("wb") as file:
            code.make_image(image_factory=PilImage).save(file, format="PNG")
    except OSError as error:
        raise click.ClickException(f"{output}: cannot be written: {error.strerror}") from error


@cli.command("set-password")
@with_config
def set_password(config: Path) -> None:
    """Set the password of the technician's page: from the terminal (twice), or one line of standard input."""
    from kiosk.config import ConfigError, load_password_file
    from kiosk.web import password

    try:
        file = load_password_file(config)
    except ConfigError as error:
        exit_with(error.findings)
    if sys.stdin.isatty():
        given = click.prompt("New password", hide_input=True, confirmation_prompt="Once more", prompt_suffix=": ")
    else:
        given = sys.stdin.readline().rstrip("\r\n")
    try:
        password.set_password(file, given)
    except (password.PasswordRefused, password.PasswordFileError) as error:
        raise click.ClickException(str(error)) from error
    click.echo(f"the password's hash is in {file}")


@cli.command()
def ports() -> None:
    """List the serial ports of this computer, who holds them, and which one is probably the board."""
    from hardware.ports import find_ports, report

    click.echo("\n".join(report(find_ports())))


@cli.command("simulate-board")
@click.option("--protocol", type=click.Choice(SIMULATED_PROTOCOLS), required=True)
@click.option("--link", type=click.Path(path_type=Path), help="Link the pseudo-terminal there.")
def simulate_board(protocol: str, link: Path | None) -> None:
    """Simulate a vending board on a pseudo-terminal; print every frame and every item dropped.

    Type help and Enter while it runs for the faults that it can have.
    """
    from hardware.simulator_console import run_board
    from hardware.simulators import make_board

    _run_until_stopped(lambda: run_board(protocol, lambda show: make_board(protocol, link, show), sys.stdin))


@cli.command("simulate-wechat")
@click.option("--listen", default="127.0.0.1:9000", show_default=True, metavar="HOST:PORT")
@click.option(
    "-c", "--config", type=click.Path(path_type=Path), help="Be the WeChat Pay of the merchant in this ini."
)
def simulate_wechat(listen: str, config: Path | None) -> None:
    """Simulate WeChat Pay alone."""
    from kiosk.ini import parse_listen

    address = parse_listen(listen)
    if address is None:
        raise click.BadParameter("must be HOST:PORT, such as 127.0.0.1:9000", param_hint="--listen")
    settings = None if config is None else load_or_exit(config)
    from kiosk.simulation.wechat import run

    _run_until_stopped(lambda: run(*address, settings))


for command in (
    cli_books.orders,
    cli_books.refund,
    cli_books.day,
    cli_books.journal,
    cli_reconcile.reconcile,
):
    cli.add_command(command)


def _run_until_stopped(begin: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run something endless on an event loop until SIGTERM or SIGINT, then let it tidy up."""
    import asyncio
    import contextlib
    import signal

    async def guarded() -> None:
        task = asyncio.ensure_future(begin())
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, task.cancel)
        with contextlib.suppress(asyncio.CancelledError):
            await task

    asyncio.run(guarded())
