"""The driver for XY boards: one order at a time, its result by command 04, every doubt an UNKNOWN.

What makes XY delicate: the result of a vend names only the selection, not the order; there is no way to ask what
became of an order; and nobody promises that a repeated order is not carried out twice. So an order is written once,
one order is open at a time, a selection whose last result may still be on its way takes no new order, and a result
counts only between the writing of the order and its end.

Source: Xing Yuan, "VMC - Upper computer" V3.0 and V3.2.11, commands 02, 04, 06, 11, 51-54, 70/47.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Literal

from hardware.dispenser import Cause, Fact, Outcome, Status, VendResult
from hardware.serial_link import LinkTiming
from hardware.xy import codec
from hardware.xy.codec import Command, Frame
from hardware.xy.sales_counts import COUNTER_STEP_SECONDS, SalesCounts
from hardware.xy.session import MOST_WRITES, Errand, Session, XyTiming
from hardware.xy.statuses import (
    DISPENSE_STATUSES,
    QUICK_STATUSES,
    REFUSALS,
    SECONDS_LEFT,
    USABLE,
    DispenseMeaning,
    Stage,
)

logger = logging.getLogger(__name__)

POLLS_BEFORE_REPEAT = 2  # repeat = vendor: a 04 that follows a lost ACK has had its chance to arrive
IDENTITY_STEP_SECONDS = 1.0  # the machine id is asked for this often while nothing may be sold before it is told


@dataclass(frozen=True)
class _Prepared:
    address: int
    packno: int
    wire: bytes
    count_before: int | None


@dataclass(eq=False)
class _Order:
    """A vend that is open. A number as its result means: the board rebooted, and that was its count before."""

    prepared: _Prepared
    errand: Errand
    result: asyncio.Future[VendResult | int]
    reported: bool = False  # a 04 for it was seen


@dataclass(eq=False)
class _Recall:
    """Someone waits to hear what became of an order that is not open any more."""

    address: int
    heard: asyncio.Event = field(default_factory=asyncio.Event)
    count: int | None = None
    result: VendResult | None = None


class XyDispenser:
    """A Dispenser for XY / Xing Yuan boards on RS-232.

    `repeat`: whether an order that the board did not acknowledge is sent again, byte for byte, up to five times, as
    the vendor's documents say ("vendor"); they do not promise that the board recognises the copies ("never").
    `sales_counter`: orders of the host move the board's own sales counter (to be tried once per kind of board); only
    then can `recall` tell anything. ValueError for a poll interval that the protocol cannot express.
    """

    def __init__(
        self,
        *,
        port: str,
        baudrate: int = 57600,
        vend_timeout_seconds: float = 60,
        drop_sensor: bool = True,
        lift: bool = False,
        repeat: Literal["never", "vendor"] = "never",
        poll_interval_ms: int = 100,
        sales_counter: bool = False,
        timing: XyTiming | None = None,
        link_timing: LinkTiming | None = None,
    ) -> None:
        self._timing = timing or XyTiming()
        self._port = port
        self._vend_timeout_seconds = vend_timeout_seconds
        self._drop_sensor = drop_sensor
        self._lift = lift
        self._repeat = repeat
        self._sales_counter = sales_counter
        self._session = Session(
            port=port,
            baudrate=baudrate,
            poll_interval_ms=poll_interval_ms,
            timing=self._timing,
            link_timing=link_timing,
            on_data=self._data_came,
            on_reboot=self._board_rebooted,
            on_idle=self._idle,
            on_change=self._changed,
        )
        self._callbacks: list[Callable[[], None]] = []
        self._told = (False, self._session.reason)
        self._prepared: _Prepared | None = None
        self._order: _Order | None = None
        self._recall: _Recall | None = None
        self._unsettled: dict[int, float] = {}  # address -> loop time until which its last result may still come
        self._reported: set[int] = set()  # by 11; at most 1000
        self._counts = SalesCounts(
            self._session, valid_seconds=self._timing.count_valid_seconds, on_count=self._counted
        )
        self._followed: dict[int, str] = {}  # address -> frame in hex of the last order of this process
        self._ask_status_at = 0.0
        self._identity_heard = ""  # the machine id that the board told last
        self._identity = ""  # told twice alike: that of the board that this process drives, and of no other
        self._board_facts: dict[str, Fact] = {}

    # The Dispenser.

    @property
    def status(self) -> Status:
        """See `Dispenser`. Ready: the port is open, the board polls and has acknowledged the synchronisation."""
        reason = self._session.reason
        facts = (*self._session.facts, Fact("selections", len(self._reported)), *self._board_facts.values())
        slots = frozenset(self._reported) or None  # all of them come after every synchronisation
        return Status(ready=not reason, reason=reason, facts=facts, alive=self._session.alive, slots=slots)

    def on_status(self, callback: Callable[[], None]) -> None:
        """See `Dispenser`."""
        self._callbacks.append(callback)

    async def start(self) -> None:
        """See `Dispenser`."""
        self._session.start()

    async def stop(self) -> None:
        """See `Dispenser`. A vend that is open all the same ends as what is known of it: not taken, or UNKNOWN."""
        await self._session.stop()
        if self._order is not None:
            detail = "the machine stopped while the vend was open"
            if self._order.errand.writes:
                self._end_order(VendResult(Outcome.UNKNOWN, detail))
            else:
                self._end_order(VendResult(Outcome.NOT_DELIVERED, detail, Cause.NOT_TAKEN))
        self._changed()

    def prepare(self, address: int) -> str:
        """See `Dispenser`: JSON with the PACKNO, the frame in hex and the sales count (null if it is not known).

        ValueError for an address that no XY board has.
        """
        self._prepared = prepared = self._make(address)
        return json.dumps(
            {"packno": prepared.packno, "frame": prepared.wire.hex(), "count": prepared.count_before},
            separators=(",", ":"),
        )

    async def vend(self, address: int) -> VendResult:
        """See `Dispenser`. Sends the frame that the last `prepare` fixed, if that was for the same address."""
        if self._order is not None:
            raise RuntimeError("a vend is open already; this board takes one order at a time")
        loop = asyncio.get_running_loop()
        prepared, self._prepared = self._prepared, None
        if prepared is None or prepared.address != address:
            prepared = self._make(address)
        if loop.time() < self._unsettled.get(address, 0.0):
            return VendResult(
                Outcome.NOT_DELIVERED,
                f"selection {address} was not driven: the result of the order before may still come, "
                "and could not be told from this one's",
                Cause.NOT_TAKEN,
            )
        errand = Errand(
            prepared.wire,
            most_writes=MOST_WRITES if self._repeat == "vendor" else 1,
            polls_before_repeat=POLLS_BEFORE_REPEAT,
        )
        order = self._order = _Order(prepared, errand, loop.create_future())
        self._followed[address] = prepared.wire.hex()
        self._session.begin_vend(errand)
        try:
            return await self._follow(order)
        finally:
            self._order = None
            self._session.end_vend()
            self._counts.forget(address)

    async def recall(self, address: int, evidence: str) -> VendResult:
        """See `Dispenser`. A late 04 for the selection tells, as the motor may still turn.

        So does a sales counter, but only if it moved: a turn that was cut off drops too.
        """
        if self._order is not None or self._recall is not None:
            raise RuntimeError("a vend or a recall is open already; this board is asked one thing at a time")
        frame, before = _read_evidence(evidence)
        foreign = frame is None or frame != self._followed.get(address)
        if foreign:  # another process gave that order, perhaps a moment ago: its result may still come
            self._expect_late_result(address)
        if self._sales_counter and before is not None:
            return await self._consult_counter(address, before, self._timing.recall_seconds)
        if foreign:
            result = await self._listen_for_result(address)
            if result is not None:
                return result
        if self._sales_counter:
            return VendResult(Outcome.UNKNOWN, "the sales count before the vend was not known")
        return VendResult(Outcome.UNKNOWN, "an XY board without a usable sales counter cannot tell afterwards")

    # An order's life.

    def _make(self, address: int) -> _Prepared:
        packno = self._session.next_packno()
        frame = codec.drive(packno, address, drop_sensor=self._drop_sensor, lift=self._lift)
        count = None
        if self._sales_counter:
            self._counts.keep(address)
            count = self._counts.known(address)
        return _Prepared(address, packno, codec.encode(frame), count)

    async def _follow(self, order: _Order) -> VendResult:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._vend_timeout_seconds
        address = order.prepared.address
        await asyncio.wait({order.result}, timeout=min(self._timing.not_taken_seconds, self._vend_timeout_seconds))
        if not order.result.done() and not order.errand.writes:
            # Nothing awaits between this look and `end_vend`: the errand cannot be written any more.
            reason = self._session.reason or "the board does not poll"
            return VendResult(
                Outcome.NOT_DELIVERED, f"selection {address} was never ordered: {reason}", Cause.NOT_TAKEN
            )
        await asyncio.wait({order.result}, timeout=deadline - loop.time())
        if not order.result.done():
            self._expect_late_result(address)
            heard = "acknowledged the order" if order.errand.acked else "did not acknowledge the order"
            if order.reported:
                heard = "began to dispense"
            return VendResult(
                Outcome.UNKNOWN,
                f"the board {heard}, and no result for selection {address} came "
                f"within {self._vend_timeout_seconds:g} s",
            )
        result = order.result.result()
        if isinstance(result, VendResult):
            return result
        self._session.end_vend()
        limit_seconds = min(self._timing.recall_seconds, deadline - loop.time())
        return await self._consult_counter(address, result, limit_seconds)

    def _end_order(self, result: VendResult | int) -> None:
        if self._order is not None and not self._order.result.done():
            self._order.result.set_result(result)

    def _expect_late_result(self, address: int) -> None:
        """Take no order for this selection until its result came, the board rebooted, or its time is over twice."""
        self._unsettled[address] = asyncio.get_running_loop().time() + self._vend_timeout_seconds

    async def _listen_for_result(self, address: int) -> VendResult | None:
        """The result that a board sends when its motor stops; None if it does not, or has started anew meanwhile."""
        recall = self._recall = _Recall(address)
        try:
            async with asyncio.timeout(min(self._timing.listen_seconds, self._vend_timeout_seconds)):
                await recall.heard.wait()
        except TimeoutError:
            self._expect_late_result(address)
        finally:
            self._recall = None
        return recall.result

    async def _consult_counter(self, address: int, before: int, seconds: float) -> VendResult:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + seconds
        recall = self._recall = _Recall(address)
        try:
            while (left := deadline - loop.time()) > 0:
                recall.heard.clear()
                self._counts.ask(address)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(min(left, COUNTER_STEP_SECONDS)):
                        await recall.heard.wait()
                if recall.result is not None:
                    return recall.result
                if recall.count is not None and recall.count != before:
                    break  # an unchanged count is asked again: the motor may still be turning
        finally:
            self._recall = None
        match recall.count:
            case None:
                return VendResult(Outcome.UNKNOWN, f"the board did not tell the sales count of selection {address}")
            case count if count == before + 1:
                self._unsettled.pop(address, None)
                return VendResult(
                    Outcome.DELIVERED, f"the board counts one more sale of selection {address} than before the vend"
                )
            case count if count == before:
                return VendResult(
                    Outcome.UNKNOWN,
                    f"the board counts no new sale of selection {address}, "
                    "but a turn that was cut off may have dropped goods uncounted",
                )
            case count:
                return VendResult(
                    Outcome.UNKNOWN,
                    f"the board's sales count of selection {address} went from {before} to {count}: "
                    "not by this order alone",
                )

    # What the board says.

    def _data_came(self, frame: Frame) -> None:
        match frame.command:
            case Command.DISPENSE_STATUS:
                self._dispense_status(frame)
            case Command.SELECTION_STATUS:
                self._selection_status(frame)
            case Command.SELECTION_REPORT:
                report = codec.read_selection_report(frame)
                if report is not None and codec.LOWEST_ADDRESS <= report.selection <= codec.HIGHEST_ADDRESS:
                    self._reported.add(report.selection)
                    self._counts.keep(report.selection)
            case Command.MENU_ANSWER:
                self._counts.answered(frame)
            case Command.MACHINE_STATUS | Command.QUICK_STATUS | Command.SOFTWARE_VERSION:
                self._note_facts(frame)
            case _:
                logger.info("the board reports %s", codec.encode(frame).hex(" "))

    def _dispense_status(self, frame: Frame) -> None:
        report = codec.read_dispense_status(frame)
        if report is None:
            return
        order = self._order
        if order is not None and order.errand.writes and not order.result.done():
            if report.selection == order.prepared.address or report.status == SECONDS_LEFT:
                order.reported = True
                order.errand.most_writes = order.errand.writes  # it was taken: never again
        else:
            order = None
        meaning = DISPENSE_STATUSES.get(report.status)
        if meaning is None:
            logger.warning("the board reports an unknown dispense status: %s", codec.encode(frame).hex(" "))
            return
        if meaning.stage is Stage.PROGRESS:
            return
        result = self._result(report.status, meaning, report.selection)
        if order is not None and report.selection == order.prepared.address:
            self._end_order(result)
            return
        logger.warning("a result that no open order asked for: %s", result.detail)
        self._unsettled.pop(report.selection, None)
        if self._recall is not None and self._recall.address == report.selection:
            self._recall.result = result
            self._recall.heard.set()

    def _result(self, status: int, meaning: DispenseMeaning, selection: int) -> VendResult:
        detail = f"the board reports for selection {selection}: {meaning.words} ({status:02X})"
        if meaning.stage is Stage.DELIVERED:
            return VendResult(Outcome.DELIVERED, detail, proven=self._drop_sensor)
        return VendResult(Outcome.NOT_DELIVERED, detail, meaning.cause)

    def _selection_status(self, frame: Frame) -> None:
        """02: this driver never asks for one, so an error here refuses the order that was just given."""
        report = codec.read_selection_status(frame)
        order = self._order
        if report is None or report.status == USABLE:
            return
        refusal = REFUSALS.get(report.status)
        if (
            refusal is None
            or order is None
            or not order.errand.writes
            or order.reported
            or report.selection != order.prepared.address
        ):
            logger.warning("ignored a selection status: %s", codec.encode(frame).hex(" "))
            return
        detail = f"the board refuses selection {report.selection}: {refusal.words} ({report.status:02X})"
        self._end_order(VendResult(Outcome.NOT_DELIVERED, detail, refusal.cause))

    def _board_rebooted(self) -> None:
        self._note("last_reboot", datetime.now(UTC).isoformat(timespec="seconds"))
        self._unsettled.clear()  # a board that has started anew has nothing left to report
        self._counts.forget_all()
        if self._recall is not None:
            self._recall.heard.set()
        order = self._order
        if order is None or not order.errand.writes:
            return  # not written yet: it will be, once the board is synchronised again
        if order.prepared.count_before is not None:
            self._end_order(order.prepared.count_before)
            return
        address = order.prepared.address
        self._end_order(VendResult(Outcome.UNKNOWN, f"the board rebooted while selection {address} was being vended"))

    def _counted(self, address: int, count: int) -> None:
        if self._recall is not None and self._recall.address == address:
            self._recall.count = count
            self._recall.heard.set()

    # Housekeeping.

    def _idle(self) -> None:
        now = asyncio.get_running_loop().time()
        if now >= self._ask_status_at:
            objected = bool(self._session.objection)
            self._ask_status_at = now + (IDENTITY_STEP_SECONDS if objected else self._timing.ask_status_seconds)
            self._session.ask(codec.machine_status_query(self._session.next_packno()))
            self._session.ask(codec.quick_status_query(self._session.next_packno()))
        if self._sales_counter:
            self._counts.ask_oldest()

    def _note(self, name: str, value: str | float, unit: str = "") -> None:
        self._board_facts[name] = Fact(name, value, unit)

    def _note_facts(self, frame: Frame) -> None:
        if frame.command == Command.SOFTWARE_VERSION:
            self._note("board_software", frame.text.decode("ascii", "replace").strip("\x00 "))
        quick = codec.read_quick_status(frame)
        if quick is not None:
            self._note("lift_and_door", QUICK_STATUSES.get(quick, f"code {quick:02X}"))
        machine = codec.read_machine_status(frame)
        if machine is not None:
            self._identify(machine.machine_id)
            self._note("door", f"code {machine.door:02X}")
            self._note("temperature", machine.temperature, "°C")
            for number, temperature in enumerate(machine.cabinet_temperatures):
                self._note(f"cabinet_{number}_temperature", temperature, "°C")

    def _identify(self, told: str) -> None:
        """Compare the board with the one that was driven before: a swapped cable must not turn another's motors."""
        before, self._identity_heard = self._identity_heard, told
        if not self._identity:
            if told and told == before:  # once alone may be a damaged frame
                self._identity = told
                self._note("identity", told)
            elif told:
                self._ask_status_at = 0.0
            return
        self._session.objection = ""
        if told != self._identity:
            self._session.objection = (
                f"another board answers on {self._port}: it calls itself {told or 'nothing'}, not {self._identity} "
                "as before; put the cables right, or restart the machine if the board was exchanged"
            )
        self._changed()

    def _changed(self) -> None:
        if self._identity and not self._session.synced:
            self._session.objection = (
                f"the board on {self._port} has not told its machine id again, which was {self._identity}"
            )
            self._ask_status_at = 0.0
        reason = self._session.reason
        told = (not reason, reason)
        if told != self._told:
            self._told = told
            for callback in tuple(self._callbacks):
                callback()


def _read_evidence(evidence: str) -> tuple[str | None, int | None]:
    """The frame and the sales count that `prepare` wrote down; None for what is not there."""
    try:
        stored = json.loads(evidence)
        frame, count = stored["frame"], stored["count"]
    except (ValueError, KeyError, TypeError):
        return None, None
    return frame if isinstance(frame, str) else None, count if isinstance(count, int) else None
