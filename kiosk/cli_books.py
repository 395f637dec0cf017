"""The commands that read or change the books: orders, refund, journal. All work while the machine runs."""

# ruff: noqa: PLC0415 - the imports inside the commands are meant: `kiosk --help` and `kiosk run` load nothing for these

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import click

from kiosk.cli_config import load_kiosk_or_exit, with_config

if TYPE_CHECKING:
    from kiosk.journal import Journal
    from kiosk.orders import Order
    from kiosk.sales import ClosedDay
    from kiosk.sales import Day as DayOfSales
    from kiosk.settings import KioskSettings


class Since(click.ParamType[datetime]):
    """A time: ISO 8601 (local where it names no offset), a date, or how long ago: 90m, 24h, 7d."""

    name = "time"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        """Read it, or say what would be right."""
        units = {"m": "minutes", "h": "hours", "d": "days"}
        if value[:-1].isdigit() and value[-1] in units:
            return datetime.now(UTC) - timedelta(**{units[value[-1]]: int(value[:-1])})
        try:
            return datetime.fromisoformat(value).astimezone(UTC)
        except ValueError:
            self.fail(f"{value} is no time: write 2026-11-23, 2026-11-23T08:00 or 24h", param, ctx)


class Day(click.ParamType[date]):
    """A day of the machine's time zone: 2026-11-23, today or yesterday."""

    name = "day"

    def convert(self, value: str | date, param: click.Parameter | None, ctx: click.Context | None) -> date:
        """Read it, or say what would be right."""
        if isinstance(value, date):
            return value
        today = datetime.now(UTC).astimezone().date()
        if value in ("today", "yesterday"):
            return today - timedelta(days=value == "yesterday")
        try:
            return date.fromisoformat(value)
        except ValueError:
            self.fail(f"{value} is no day: write 2026-11-23, today or yesterday", param, ctx)


@click.command()
@click.option("--state", help="Only orders in this state, such as dispensed or refund_failed.")
@click.option("--since", type=Since(), metavar="T", help="Only orders made since: 2026-11-23, 2026-11-23T08:00, 24h.")
@click.option("--csv", "as_csv", is_flag=True, help="As comma-separated values; amounts in fen.")
@with_config
def orders(state: str | None, since: datetime | None, as_csv: bool, config: Path) -> None:
    """List the orders in the journal, newest first."""
    settings = load_kiosk_or_exit(config)
    from kiosk.database import DatabaseError
    from kiosk.journal import read_orders
    from kiosk.orders import OrderState

    known = [each.value for each in OrderState]
    if state is not None and state not in known:
        raise click.BadParameter(f"{state} is no state; there are {', '.join(known)}", param_hint="--state")
    try:
        found = read_orders(settings.data_dir, [OrderState(state)] if state else [], since)
    except DatabaseError as error:
        raise click.ClickException(str(error)) from error
    if as_csv:
        _print_csv(found)
    else:
        _print_table(found)


@click.command()
@click.argument("out_trade_no")
@with_config
def refund(out_trade_no: str, config: Path) -> None:
    """Ask for a refund of a paid order; the machine carries it out while it runs, or when it starts."""
    settings = load_kiosk_or_exit(config)
    import asyncio

    from kiosk.database import DatabaseError
    from kiosk.errors import RefundRefused
    from kiosk.journal import UnknownOrder

    try:
        order = asyncio.run(_refund(settings, out_trade_no))
    except (DatabaseError, RefundRefused, UnknownOrder) as error:
        raise click.ClickException(str(error)) from error
    click.echo(f"the refund {order.out_refund_no} of {_yuan(order.paid_fen or 0)} yuan is asked for")


@click.command()
@click.argument("day", type=Day(), default="yesterday")
@click.option("--close", is_flag=True, help="Close the day: its sums are booked, once.")
@with_config
def day(day: date, close: bool, config: Path) -> None:
    """Show what was sold on DAY (2026-11-23, today, yesterday), by product."""
    settings = load_kiosk_or_exit(config)
    import asyncio

    from kiosk.database import DatabaseError
    from kiosk.sales import CloseRefused

    try:
        found, closed = asyncio.run(_day(settings, day, close=close))
    except (DatabaseError, CloseRefused) as error:
        raise click.ClickException(str(error)) from error
    for product in sorted({*found.sold, *found.refunded}):
        sold, back = found.sold.get(product), found.refunded.get(product)
        line = f"{product:32}  {sold.count if sold else 0:>5} sold  {_yuan(sold.amount if sold else 0):>10}"
        click.echo(line + (f"  {back.count} refunded  {_yuan(back.amount)}" if back else ""))
    end = "" if closed is None else f"; closed as number {closed.number} by {closed.who}"
    click.echo(f"{found.day}: {_yuan(found.net)} yuan stayed, {found.test_vends} test vends{end}")


@click.group()
def journal() -> None:
    """Look after the journal."""


@journal.command()
@click.argument("file", type=click.Path(path_type=Path), required=False)
@with_config
def verify(file: Path | None, config: Path) -> None:
    """Check that the journal's story holds together: the machine's own, or a copy in FILE."""
    from kiosk.audit import audit
    from kiosk.database import DatabaseError

    path = file or _journal_file(config)
    try:
        found = audit(path)
    except DatabaseError as error:
        raise click.ClickException(str(error)) from error
    for line in found.findings:
        click.echo(line)
    for line in found.unsettled:
        click.echo(f"unsettled: order {line}")
    click.echo(f"{path}: {found.events} events, {found.orders} orders, {len(found.findings)} findings")
    sys.exit(1 if found.findings else 0)


@journal.command()
@click.argument("out_trade_no")
@click.option("--file", type=click.Path(path_type=Path), help="Read this archive or backup, not the machine's own.")
@with_config
def story(out_trade_no: str, file: Path | None, config: Path) -> None:
    """Tell what happened to an order, from the first event to the last."""
    settings = load_kiosk_or_exit(config)
    from kiosk.database import DatabaseError
    from kiosk.journal import JOURNAL_FILE, UnknownOrder, read_story
    from kiosk.story import sentence

    path = file or settings.data_dir / JOURNAL_FILE
    try:
        events, archived = read_story(path, out_trade_no)
    except (DatabaseError, UnknownOrder) as error:
        raise click.ClickException(str(error)) from error
    if archived:
        click.echo("its first events are in an archive: kiosk journal story --file ARCHIVE " + out_trade_no)
    for event in events:
        click.echo(f"{event.at.astimezone():%Y-%m-%d %H:%M:%S}  {sentence(event, settings.language)}")


@journal.command()
@click.argument("file", type=click.Path(path_type=Path))
@with_config
def backup(file: Path, config: Path) -> None:
    """Copy the journal to FILE, consistently, also while the machine sells."""
    from kiosk.database import DatabaseError
    from kiosk.database import backup as make

    try:
        make(_journal_file(config), file)
    except DatabaseError as error:
        raise click.ClickException(str(error)) from error
    click.echo(f"the journal is copied to {file}")


@journal.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--before", type=Since(), metavar="T", required=True, help="Drop events older than: 2026-05-01, 180d.")
@with_config
def archive(file: Path, before: datetime, config: Path) -> None:
    """Copy the journal to FILE, then drop its old events; orders and sums stay. Works while the machine sells."""
    import asyncio

    from kiosk.archive import archive as make
    from kiosk.database import DatabaseError

    path = _journal_file(config)
    try:
        made = asyncio.run(make(path, file, before))
    except DatabaseError as error:
        raise click.ClickException(str(error)) from error
    click.echo(f"{file} holds {made.events} events; {made.dropped} of them were dropped from {path}")


async def _day(settings: KioskSettings, day: date, *, close: bool) -> tuple[DayOfSales, ClosedDay | None]:
    async with _books(settings) as books:
        closed = await books.sales.closed(day)
        if close and closed is None:  # the technician may have closed it on the page: then it is as it should be
            closed = await books.sales.close(day, "the command line")
        return (await books.sales.days(day, day))[0], closed


async def _refund(settings: KioskSettings, out_trade_no: str) -> Order:
    from kiosk.refunds import request_refund

    async with _books(settings) as books:
        return await request_refund(books, out_trade_no, "the command line")


@asynccontextmanager
async def _books(settings: KioskSettings) -> AsyncIterator[Journal]:
    """The journal to write in, beside a machine that may run."""
    from kiosk.clock import SystemClock
    from kiosk.database import DatabaseError
    from kiosk.journal import JOURNAL_FILE, Journal

    if not (settings.data_dir / JOURNAL_FILE).exists():
        raise DatabaseError(f"there is no journal in {settings.data_dir}")
    books = Journal(settings.data_dir, SystemClock())
    try:
        yield books
    finally:
        await books.close()


def _journal_file(config: Path) -> Path:
    from kiosk.journal import JOURNAL_FILE

    return load_kiosk_or_exit(config).data_dir / JOURNAL_FILE


def _print_csv(found: list[Order]) -> None:
    import csv

    from kiosk.order_table import COLUMNS, cells

    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows(cells(order) for order in found)


def _print_table(found: list[Order]) -> None:
    for order in found:
        made = order.created_at.astimezone()
        line = (
            f"{made:%Y-%m-%d %H:%M:%S}  {order.out_trade_no:32}  {order.state.value:16}  {_yuan(order.amount_fen):>8}"
        )
        click.echo(
            f"{line}  {order.product_id:16}  {order.slot or '-':6}{'  ' + order.reason if order.reason else ''}"
        )
    click.echo(f"{len(found)} orders")


def _yuan(fen: int) -> str:
    return f"{fen // 100}.{fen % 100:02d}"
