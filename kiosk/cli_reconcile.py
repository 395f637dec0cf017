"""`kiosk reconcile`: WeChat's bill beside the journal."""

# ruff: noqa: PLC0415 - see kiosk.cli

from __future__ import annotations

import sys
from datetime import datetime
from pathlib import Path
from typing import NoReturn

import click

from kiosk.cli_config import load_or_exit, with_config

NOT_COMPARED = 3  # exit status: there was no bill or no journal; 1 is kept for differences


@click.command()
@click.argument("day", metavar="DATE", type=click.DateTime(["%Y-%m-%d"]))
@click.option("--json", "as_json", is_flag=True, help="For programs: one JSON object; amounts in fen.")
@with_config
def reconcile(day: datetime, as_json: bool, config: Path) -> None:
    """Compare WeChat's bill of DATE (2026-11-23, China time) with the journal, line by line.

    Exit status: 0 the books agree, 1 they differ, 2 the ini is wrong, 3 there was nothing to compare.
    """
    settings = load_or_exit(config)
    import json

    from kiosk import reconcile as books
    from kiosk.clock import CHINA_STANDARD_TIME, SystemClock
    from kiosk.database import DatabaseError
    from kiosk.journal import read_day
    from kiosk.orders import is_of_machine
    from kiosk.payments.wechat.bill import BillError, fetch_bill

    wanted = day.date()
    if wanted >= SystemClock().now().astimezone(CHINA_STANDARD_TIME).date():
        _give_up(f"the bill of {wanted} is made on the next day, from 9:00 on, China time; name an earlier day")

    app_ids = [settings.wechatpay.app_id, *([settings.miniprogram.app_id] if settings.miniprogram else [])]
    try:
        # Whether a bill holds the sales of all the merchant's apps is not documented: both are fetched, and joined.
        lines = dict.fromkeys(
            line
            for app_id in dict.fromkeys(app_ids)
            for line in fetch_bill(
                settings.wechatpay, app_id, wanted, lambda number: is_of_machine(settings.kiosk.id, number)
            )
        )
        begin, end = books.span(wanted)
        records = read_day(settings.kiosk.data_dir, begin, end, {line.out_trade_no for line in lines})
    except (BillError, DatabaseError) as error:
        _give_up(str(error))
    report = books.compare(wanted, lines, records)
    click.echo(json.dumps(books.as_json(report), ensure_ascii=False) if as_json else books.as_text(report))
    sys.exit(1 if report.differences else 0)


def _give_up(reason: str) -> NoReturn:
    click.echo(f"Error: {reason}", err=True)
    sys.exit(NOT_COMPARED)
