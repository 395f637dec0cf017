"""What a monitoring system reads, and the dashboard and alerts that are made for it."""

from __future__ import annotations

import json
import re
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families
from scenario_kit import API_TOKEN, Bench, bench
from tornado.httpclient import AsyncHTTPClient

from kiosk.orders import OrderState

DOCS = Path(__file__).parents[2] / "docs"


async def scrape(here: Bench) -> dict[str, dict[tuple[str, ...], float]]:
    """Every sample by its name, each by the values of its labels in the order of their names."""
    answer = await AsyncHTTPClient().fetch(
        f"http://127.0.0.1:{here.settings.web.listen.port}/metrics", headers={"Authorization": f"Bearer {API_TOKEN}"}
    )
    assert answer.headers["Content-Type"].startswith("text/plain; version=")
    found: dict[str, dict[tuple[str, ...], float]] = {}
    for family in text_string_to_metric_families(answer.body.decode()):
        for sample in family.samples:
            found.setdefault(sample.name, {})[tuple(value for _, value in sorted(sample.labels.items()))] = (
                sample.value
            )
    return found


async def test_a_sale_shows(tmp_path: Path) -> None:
    """After one sale: one order dispensed, one unit and its price sold, one less in stock, its times counted."""
    async with bench(tmp_path) as here:
        before = await scrape(here)
        number = await here.buy("cola")
        await here.settled(number, OrderState.DISPENSED)
        await here.until(lambda: here.machine.shelf.counts.get(OrderState.DISPENSED), "the shelf has seen the sale")
        after = await scrape(here)

    assert (0, 1) == (before["kiosk_orders"][("dispensed",)], after["kiosk_orders"][("dispensed",)])
    assert (0, 1) == (before["kiosk_sales_total"][("cola",)], after["kiosk_sales_total"][("cola",)])
    assert 350 == after["kiosk_sales_fen_total"][("cola",)]
    assert (3, 2) == (before["kiosk_slot_stock"][("cola", "11")], after["kiosk_slot_stock"][("cola", "11")])
    for timing in ("kiosk_vend_seconds", "kiosk_payment_learned_seconds"):
        assert (0, 1) == (before[f"{timing}_count"][()], after[f"{timing}_count"][()])
    assert after["kiosk_journal_commit_seconds_count"][()] >= before["kiosk_journal_commit_seconds_count"][()] + 4
    assert 1 == after["kiosk_health"][("ok",)]
    assert 1 == after["kiosk_dispenser_ready"][()]
    assert after["kiosk_dispenser_fact"][("polls", "")] > 0


async def test_trouble_shows(tmp_path: Path) -> None:
    """A board that is gone is a problem with its code, and the machine's word is out_of_service."""
    async with bench(tmp_path) as here:
        here.board.unplug()
        await here.until(lambda: here.machine.readiness.blocked, "the machine knows")
        found = await scrape(here)

    assert 1 == found["kiosk_problem"][("true", "dispenser")]
    assert (0, 1) == (found["kiosk_health"][("ok",)], found["kiosk_health"][("out_of_service",)])
    assert 0 == found["kiosk_dispenser_ready"][()]


async def test_dashboard_and_alerts_speak_of_what_is_there(tmp_path: Path) -> None:
    """Every kiosk_ name in docs/grafana.json and docs/alerts.yml stands in a real answer."""
    dashboard, alerts = (DOCS / "grafana.json").read_text(), (DOCS / "alerts.yml").read_text()
    async with bench(tmp_path) as here:
        number = await here.buy("cola")
        await here.settled(number, OrderState.DISPENSED)
        here.board.unplug()
        await here.until(lambda: here.machine.readiness.blocked, "there is a problem to show")
        found = await scrape(here)

    json.loads(dashboard)
    named = set(re.findall(r"\bkiosk_[a-z_]+", dashboard + alerts))
    assert len(named) > 10
    assert set() == named - found.keys()
