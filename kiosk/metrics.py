"""What the machine counts and times, in the Prometheus text format: GET /metrics.

Counting costs next to nothing and imports nothing; prometheus-client comes in when somebody first asks.
"""

from __future__ import annotations

import asyncio
import bisect
import importlib
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from kiosk import __version__
from kiosk.orders import Order, OrderState
from kiosk.records import Change
from kiosk.shelf import slot_state
from kiosk.web.views import Site

if TYPE_CHECKING:
    from prometheus_client.core import Metric

LAG_SECONDS = 0.25  # how often the loop is asked whether it is in time
FAST = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 5.0)  # commits, the loop
SLOW = (0.5, 1.0, 2.0, 3.0, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0)  # what customers wait for
SLOWEST_LAG_SECONDS = 3600.0  # a suspended computer is not a slow loop


class Timing:
    """A histogram: how many took how long, in seconds. May be told from any thread."""

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self._sum = 0.0
        self._lock = threading.Lock()

    def observe(self, seconds: float) -> None:
        """One took so long."""
        with self._lock:
            self._counts[bisect.bisect_left(self._bounds, seconds)] += 1
            self._sum += seconds

    def read(self) -> tuple[list[tuple[str, float]], float]:
        """The buckets, each with all that are below it, and the sum, as prometheus-client wants them."""
        with self._lock:
            buckets, total = [], 0
            for bound, count in zip((*map(str, self._bounds), "+Inf"), self._counts, strict=True):
                total += count
                buckets.append((bound, float(total)))
            return buckets, self._sum


class Metrics:
    """Counts from the journal's changes on; `start` and `stop` it on the event loop."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._sales: Counter[str] = Counter()
        self._sales_fen: Counter[str] = Counter()
        self._refunds: Counter[str] = Counter()
        self._learned = Timing(SLOW)
        self._vended = Timing(SLOW)
        self._lag = Timing(FAST)
        self._commits = Timing(FAST)
        self._task: asyncio.Task[None] | None = None
        site.journal.subscribe(self._on_change)
        site.journal.time_commits(self._commits.observe)

    async def start(self) -> None:
        """Begin to watch the loop."""
        self._task = asyncio.get_running_loop().create_task(self._watch_loop())

    async def stop(self) -> None:
        """Watch no more."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def text(self) -> tuple[bytes, str]:
        """Everything, and its Content-Type."""
        exposition = await asyncio.to_thread(importlib.import_module, "prometheus_client")
        registry = exposition.CollectorRegistry()
        registry.register(self)
        exposition.ProcessCollector(registry=registry)
        return exposition.generate_latest(registry), exposition.CONTENT_TYPE_LATEST

    def collect(self) -> Iterator[Metric]:
        """Called by prometheus-client."""
        yield from self._machine()
        yield from self._goods()
        yield from self._lines()
        for name, what, timing in (
            ("kiosk_payment_learned_seconds", "from the payment until this machine knew of it", self._learned),
            ("kiosk_vend_seconds", "from knowing of the payment until the goods had dropped", self._vended),
            ("kiosk_journal_commit_seconds", "one commit of the journal, its sync included", self._commits),
            ("kiosk_loop_lag_seconds", "how late the event loop was", self._lag),
        ):
            buckets, total = timing.read()
            yield _core().HistogramMetricFamily(name, what.capitalize(), buckets=buckets, sum_value=total)

    def _machine(self) -> Iterator[Metric]:
        core, site = _core(), self._site
        info = core.InfoMetricFamily("kiosk_build", "What runs here")
        info.add_metric([], {"version": __version__, "id": site.settings.kiosk.id})
        yield info
        health = core.GaugeMetricFamily("kiosk_health", "1 for the word that holds", labels=["health"])
        for word in ("ok", "degraded", "out_of_service"):
            health.add_metric([word], float(site.readiness.health == word))
        yield health
        problems = core.GaugeMetricFamily("kiosk_problem", "1 for each problem now", labels=["code", "blocking"])
        for problem in site.readiness.problems:
            problems.add_metric([problem.code, str(problem.blocking).lower()], 1.0)
        yield problems

    def _goods(self) -> Iterator[Metric]:
        core, site = _core(), self._site
        orders = core.GaugeMetricFamily("kiosk_orders", "Orders in each state, of all time", labels=["state"])
        for state in OrderState:
            orders.add_metric([state.value], float(site.shelf.counts.get(state, 0)))
        yield orders
        for name, what, counter in (
            ("kiosk_sales", "Units sold since this process began", self._sales),
            ("kiosk_sales_fen", "Their prices, in fen", self._sales_fen),
            ("kiosk_refunds", "Orders refunded since this process began", self._refunds),
        ):
            family = core.CounterMetricFamily(name, what, labels=["product"])
            for product in site.settings.products:
                family.add_metric([product.id], float(counter[product.id]))
            yield family
        stock = core.GaugeMetricFamily("kiosk_slot_stock", "Units in a slot", labels=["slot", "product"])
        capacity = core.GaugeMetricFamily("kiosk_slot_capacity", "Units that fit", labels=["slot", "product"])
        states = core.GaugeMetricFamily("kiosk_slot_state", "1 for the state that holds", labels=["slot", "state"])
        for slot, record in site.shelf.slots():
            stock.add_metric([slot.id, slot.product_id], float(record.stock))
            capacity.add_metric([slot.id, slot.product_id], float(slot.capacity))
            states.add_metric([slot.id, slot_state(record).value], 1.0)
        yield from (stock, capacity, states)

    def _lines(self) -> Iterator[Metric]:
        core, site = _core(), self._site
        status, reach = site.dispenser.status, site.gateway.reachability
        yield _gauge("kiosk_dispenser_ready", "Whether the board takes commands", float(status.ready))
        facts = core.GaugeMetricFamily(
            "kiosk_dispenser_fact", "Numbers that the driver knows of its board", labels=["name", "unit"]
        )
        for fact in status.facts:
            if isinstance(fact.value, (int, float)):
                facts.add_metric([fact.name, fact.unit], float(fact.value))
        yield facts
        yield _gauge(
            "kiosk_wechat_failures", "Calls without an answer since the last one", reach.consecutive_failures
        )
        if reach.last_answer_at is not None:
            answered = reach.last_answer_at.timestamp()
            yield _gauge("kiosk_wechat_last_answer_timestamp_seconds", "When WeChat last answered", answered)
        offset = site.gateway.clock_offset_seconds
        if offset is not None:
            yield _gauge("kiosk_wechat_clock_offset_seconds", "WeChat's clock minus this board's", offset)

    def _on_change(self, change: Change) -> None:
        order = change.order
        if order is None:
            return
        match change.event.kind:
            case "paid" | "paid_not_to_be_dispensed" if order.paid_at is not None and order.confirmed_at is not None:
                self._learned.observe(max(0.0, (order.confirmed_at - order.paid_at).total_seconds()))
            case "dispensed":
                self._book_sale(order)
            case "refunded" | "refunded_elsewhere":
                self._refunds[order.product_id] += 1
            case _:
                pass

    def _book_sale(self, order: Order) -> None:
        self._sales[order.product_id] += 1
        self._sales_fen[order.product_id] += order.amount_fen
        if order.confirmed_at is not None and order.finished_at is not None:
            self._vended.observe(max(0.0, (order.finished_at - order.confirmed_at).total_seconds()))

    async def _watch_loop(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            due = loop.time() + LAG_SECONDS
            await asyncio.sleep(LAG_SECONDS)
            self._lag.observe(min(max(0.0, loop.time() - due), SLOWEST_LAG_SECONDS))


def _core() -> Any:
    return importlib.import_module("prometheus_client.core")


def _gauge(name: str, what: str, value: float) -> Metric:
    family: Metric = _core().GaugeMetricFamily(name, what, value=value)
    return family
