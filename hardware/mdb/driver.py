"""The driver for vending machines behind an MDB bridge: says yes or no to what the customer chose at the machine.

The VMC in the machine turns the motors; a cashless device can only answer its question. So a vend is the answer to
one certain question, given once, and never to another, not even to one for the same item. What then counts:

- VEND SUCCESS: delivered. VEND FAILURE: nothing came out. Both count only while an answer of ours is open.
- A reset of bridge or machine after our yes counts as VEND SUCCESS: the note in MDB/ICP 4.2, 7.4.7. So does the next
  state without a word about the vend. Such a vend is `presumed`: a person is to look.
- A next state that comes sooner than any machine vends: a cancellation has crossed our yes; nobody knows for certain.
- Nothing at all within vend_timeout: nobody knows. The bridge has no question that would tell.

Sources: MDB/ICP 4.2, chapter 7; docs.qibixx.com as named in `hardware.mdb.codec`.
"""

from __future__ import annotations

import asyncio
import json
import logging
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from hardware.dispenser import Cause, Choice, Fact, Outcome, Status, VendResult
from hardware.mdb import codec
from hardware.mdb.codec import Asks, Message, Refuses, Stands, State, Vended, VendError
from hardware.mdb.session import ALWAYS_IDLE, MdbTiming, Session
from hardware.serial_link import LinkTiming

logger = logging.getLogger(__name__)

CNY = 156  # ISO 4217, numeric


@dataclass(frozen=True)
class _Question:
    """A choice with the text that the yes has to repeat."""

    choice: Choice
    amount: str


@dataclass(eq=False)
class _Vend:
    """A yes that was given; its end is awaited."""

    question: _Question
    result: asyncio.Future[VendResult]
    unclear: str = ""  # what the bridge said that no document explains
    begun_at: float = 0.0  # the loop's clock
    verdict: asyncio.TimerHandle | None = None  # runs out when no word about the vend will come any more


class MdbDispenser:
    """A `Dispenser` and `Keypad` in front of a Qibixx-style ASCII bridge.

    `mdb_address`: as which of the two cashless devices of the bus (0x10 or 0x60). `currency`: ISO 4217, numeric.
    `settings`: further settings of the bridge by name, sent after every start of it.
    """

    def __init__(
        self,
        *,
        port: str,
        baudrate: int = 115200,
        vend_timeout_seconds: float = 60,
        mdb_address: int = 0x10,
        currency: int = CNY,
        settings: Mapping[str, str] | None = None,
        timing: MdbTiming | None = None,
        link_timing: LinkTiming | None = None,
    ) -> None:
        self._timing = timing or MdbTiming()
        self._vend_timeout_seconds = vend_timeout_seconds
        self._session = Session(
            port=port,
            baudrate=baudrate,
            settings=(
                ("mdb-addr", f"0x{mdb_address:02X}"),
                ("mdb-currency-code", f"0x1{currency:03d}"),  # MDB 4.2, A1: a 1, then the digits of ISO 4217
                ALWAYS_IDLE,
                *(settings or {}).items(),
            ),
            timing=self._timing,
            link_timing=link_timing,
            on_message=self._message_came,
            on_reset=self._began_anew,
            on_change=self._changed,
            busy=lambda: self._vend is not None,
        )
        self._callbacks: list[Callable[[], None]] = []
        self._choice_callbacks: list[Callable[[], None]] = []
        self._told = (False, self._session.reason)
        self._life = secrets.token_hex(4)  # tells the choices of this process from another's
        self._questions = 0
        self._question: _Question | None = None
        self._prepared: tuple[int, _Question | None] | None = None
        self._vend: _Vend | None = None
        self._approved = ""  # the serial of the last choice that got a yes
        self._recall: asyncio.Future[VendResult] | None = None

    # The Dispenser.

    @property
    def status(self) -> Status:
        """See `Dispenser`. Ready: the machine lets customers choose."""
        reason = self._session.reason
        facts = (*self._session.facts, Fact("choices", self._questions))
        return Status(ready=not reason, reason=reason, facts=facts, alive=self._session.alive)

    def on_status(self, callback: Callable[[], None]) -> None:
        """See `Dispenser`."""
        self._callbacks.append(callback)

    async def start(self) -> None:
        """See `Dispenser`."""
        self._session.start()

    async def stop(self) -> None:
        """See `Dispenser`. A choice that waits gets a no; a vend that is open all the same ends as UNKNOWN."""
        if self._question is not None:
            self.decline(self._question.choice.serial)
        await self._session.stop(switch_off=self._vend is None)
        self._end(VendResult(Outcome.UNKNOWN, "the machine stopped while the vend was open"))
        self._changed()

    def prepare(self, address: int) -> str:
        """See `Dispenser`: JSON with the choice's serial (null: none for this address), its amount, the bridge."""
        if not 0 <= address < codec.UNKNOWN_ITEM:
            raise ValueError(f"no machine has an item {address}: MDB numbers them from 0 to {codec.UNKNOWN_ITEM - 1}")
        question = self._question if self._question and self._question.choice.address == address else None
        self._prepared = (address, question)
        return json.dumps(
            {
                "choice": question and question.choice.serial,
                "item": address,
                "amount": question and question.amount,
                "bridge": self._session.bridge_id,
            },
            separators=(",", ":"),
        )

    async def vend(self, address: int) -> VendResult:
        """See `Dispenser` and `Keypad`: says yes to the choice that the last `prepare` bound."""
        if self._vend is not None:
            raise RuntimeError("a vend is open already; the machine takes one order at a time")
        if self._prepared is None or self._prepared[0] != address:
            self.prepare(address)
        assert self._prepared is not None  # noqa: S101 - set by `prepare`
        (_, question), self._prepared = self._prepared, None
        if question is None or question is not self._question:
            return VendResult(
                Outcome.NOT_DELIVERED,
                f"item {address} is not chosen at the machine any more, no other choice was approved for it",
                Cause.CHOICE_GONE,
            )
        self._question = None  # whatever becomes of the line below: it is never written again
        self._approved = question.choice.serial
        loop = asyncio.get_running_loop()
        vend = self._vend = _Vend(question, loop.create_future(), begun_at=loop.time())
        try:
            if not self._session.write(codec.approve(question.amount)):
                self._end(VendResult(Outcome.UNKNOWN, f"the line was lost while item {address} was being approved"))
            await asyncio.wait({vend.result}, timeout=self._vend_timeout_seconds)
            if vend.result.done():
                return vend.result.result()
            return VendResult(
                Outcome.UNKNOWN,
                f"item {address} was approved, and the machine said nothing of it "
                f"within {self._vend_timeout_seconds:g} s",
            )
        finally:
            self._vend = None
            if vend.verdict is not None:
                vend.verdict.cancel()

    async def recall(self, address: int, evidence: str) -> VendResult:
        """See `Dispenser`. A bridge tells nothing twice: only a word that is still to come can be heard.

        An earlier process's vend can be heard of until this one sets the bridge up, which waits for that.
        """
        if self._vend is not None or self._recall is not None:
            raise RuntimeError("a vend or a recall is open already; the machine takes one order at a time")
        choice, bridge = _read_evidence(evidence)
        ours = choice is not None and choice == self._approved
        if not ours and (choice is None or not self._session.untouched):
            return VendResult(Outcome.UNKNOWN, "a bridge cannot tell afterwards")
        recall: asyncio.Future[VendResult] = asyncio.get_running_loop().create_future()
        self._recall = recall
        try:
            with self._session.only_listening():
                await asyncio.wait({recall}, timeout=self._timing.recall_seconds)
        finally:
            self._recall = None
        if not recall.done():
            return VendResult(Outcome.UNKNOWN, f"nothing was heard of item {address} any more")
        if bridge and self._session.bridge_id not in {"", bridge}:
            return VendResult(Outcome.UNKNOWN, "another bridge is there now, it knows nothing of that vend")
        return recall.result()

    # The Keypad.

    @property
    def choice(self) -> Choice | None:
        """See `Keypad`."""
        return None if self._question is None else self._question.choice

    def on_choice(self, callback: Callable[[], None]) -> None:
        """See `Keypad`."""
        self._choice_callbacks.append(callback)

    def decline(self, serial: str) -> None:
        """See `Keypad`."""
        if self._question is not None and self._question.choice.serial == serial:
            self._question = None
            self._session.write(codec.DENY)

    # What bridge and machine say.

    def _message_came(self, message: Message) -> None:
        match message:
            case Asks():
                self._asked(message)
            case Stands(state):
                reason = f"the machine is {state.value} again"
                self._choice_is_over(reason)
                if state in {State.ENABLED, State.DISABLED} and self._too_soon():
                    self._unclear(f"{state.value}, sooner than a machine can have vended")
                if state is not State.IDLE:
                    self._await_verdict(reason)
            case Vended():
                self._heard(VendResult(Outcome.DELIVERED, "the machine says VEND SUCCESS"))
            case VendError(codec.FAILED):
                detail = "the machine says VEND FAILURE: nothing came out"
                self._heard(VendResult(Outcome.NOT_DELIVERED, detail, Cause.SLOT))
            case VendError(codec.CANCELLED):
                self._choice_is_over("the customer, or the machine, has cancelled")
                detail = "the machine had cancelled before the approval came"
                self._heard(VendResult(Outcome.NOT_DELIVERED, detail, Cause.CHOICE_GONE))
            case VendError(number):
                self._unclear(f"VEND {number}")
            case Refuses(codec.CASHLESS_IS_OFF):
                detail = "the bridge was switched off before the approval came"
                self._heard(VendResult(Outcome.NOT_DELIVERED, detail, Cause.CHOICE_GONE))
            case Refuses(text):
                self._unclear(text)
            case _:
                pass

    def _asked(self, asks: Asks) -> None:
        """A new question, even if it reads like the last one: whoever paid for that one must not pay for this."""
        self._await_verdict("the machine asks for the next vend")
        self._questions += 1
        choice = Choice(f"{self._life}-{self._questions}", asks.item, asks.price)
        logger.info("item %d was chosen for %s", asks.item, asks.amount)
        self._question = _Question(choice, asks.amount)
        self._tell_choice()

    def _choice_is_over(self, reason: str) -> None:
        if self._question is not None:
            logger.info("item %d is chosen no more: %s", self._question.choice.address, reason)
            self._question = None
            self._tell_choice()

    def _heard(self, result: VendResult) -> None:
        """A word about a vend: about the one that is open, or about the last one before this process."""
        if self._vend is not None:
            self._end(result)
        elif self._recall is not None:
            _end_recall(self._recall, result)
        elif result.cause is not Cause.CHOICE_GONE:
            logger.warning("about a vend that is not open: %s", result.detail)

    def _too_soon(self) -> bool:
        if self._vend is None:
            return False
        return asyncio.get_running_loop().time() - self._vend.begun_at < self._timing.shortest_vend_seconds

    def _unclear(self, words: str) -> None:
        logger.warning("the bridge says: %s", words)
        if self._vend is not None:
            self._vend.unclear = words

    def _began_anew(self, reason: str) -> None:
        self._choice_is_over(reason)
        self._presume(reason)

    def _await_verdict(self, reason: str) -> None:
        """The machine goes on without a word about the vend. It may still come, but not for long."""
        loop = asyncio.get_running_loop()
        if self._vend is not None and self._vend.verdict is None:
            self._vend.verdict = loop.call_later(self._timing.verdict_seconds, self._presume, reason)
        elif self._recall is not None:
            unheard = VendResult(Outcome.UNKNOWN, f"{reason}, and said nothing of the vend before")
            loop.call_later(self._timing.verdict_seconds, _end_recall, self._recall, unheard)

    def _presume(self, reason: str) -> None:
        vend = self._vend
        if vend is None:
            return
        if vend.unclear:
            detail = f"after the approval the bridge said: {vend.unclear}; then {reason}"
            self._end(VendResult(Outcome.UNKNOWN, detail))
            return
        detail = f"after the approval {reason}, without a word about the goods: by the rule of MDB they are sold"
        self._end(VendResult(Outcome.DELIVERED, detail, presumed=True))

    def _end(self, result: VendResult) -> None:
        if self._vend is not None and not self._vend.result.done():
            self._vend.result.set_result(result)

    def _tell_choice(self) -> None:
        for callback in tuple(self._choice_callbacks):
            callback()

    def _changed(self) -> None:
        reason = self._session.reason
        told = (not reason, reason)
        if told != self._told:
            self._told = told
            for callback in tuple(self._callbacks):
                callback()


def _end_recall(recall: asyncio.Future[VendResult], result: VendResult) -> None:
    if not recall.done():
        recall.set_result(result)


def _read_evidence(evidence: str) -> tuple[str | None, str | None]:
    """The choice's serial and the bridge's id that `prepare` wrote down; None for what is not there."""
    try:
        stored = json.loads(evidence)
        choice, bridge = stored["choice"], stored["bridge"]
    except (ValueError, KeyError, TypeError):
        return None, None
    return choice if isinstance(choice, str) else None, bridge if isinstance(bridge, str) else None
