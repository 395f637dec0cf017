"""The option -c that most commands share, and what a bad ini leads to."""

# ruff: noqa: PLC0415 - see kiosk.cli

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import click

if TYPE_CHECKING:
    from kiosk.settings import KioskSettings, Settings

BAD_INI = 2  # exit status of every command that cannot use the ini

with_config = click.option(
    "-c",
    "--config",
    type=click.Path(path_type=Path),
    default=Path("kiosk.ini"),
    show_default=True,
    help="The machine's settings.",
)


def load_or_exit(config: Path) -> Settings:
    """The settings; ends the process with every finding on standard error if there are any."""
    from kiosk.config import ConfigError, load

    try:
        return load(config)
    except ConfigError as error:
        exit_with(error.findings)


def load_kiosk_or_exit(config: Path) -> KioskSettings:
    """Only [kiosk]; ends the process with what is wrong with it on standard error."""
    from kiosk.config import ConfigError, load_kiosk

    try:
        return load_kiosk(config)
    except ConfigError as error:
        exit_with(error.findings)


def exit_with(findings: tuple[str, ...]) -> NoReturn:
    """Print what is wrong with the ini and end the process."""
    click.echo("\n".join(findings), err=True)
    sys.exit(BAD_INI)
