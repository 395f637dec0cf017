"""A simulated board in a terminal: prints every frame and every item dropped, and takes faults as typed words."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import threading
import time
from collections.abc import Callable
from typing import TextIO

from hardware.simulated_board import BoardEvent, Damage, SimulatedBoard

HELP = """\
faults: jam N, empty N, clear N: slot N jams, is refused as sold out, works again
        silent, speak: the board says nothing, speaks again; blind, see: its drop sensor
        lose: the next result never arrives; delay SECONDS: it comes so much later
        deaf: the next command never arrives
        reboot, unplug, replug; damage KIND: the next frame, KIND one of """ + ", ".join(
    damage.value for damage in Damage
)


def obey(board: SimulatedBoard, line: str) -> str:
    """Carry out one typed line; returns what to print, empty if it needs no words."""
    word, _, argument = line.strip().partition(" ")
    try:
        match word:
            case "":
                pass
            case "jam":
                board.jam(int(argument))
            case "empty":
                board.empty(int(argument))
            case "clear":
                board.clear(int(argument))
            case "silent" | "speak":
                board.silent = word == "silent"
            case "blind" | "see":
                board.blind_drop_sensor = word == "blind"
            case "lose":
                board.lose_results()
            case "delay":
                board.delay_results(float(argument))
            case "deaf":
                board.lose_commands()
            case "reboot":
                board.reboot()
            case "unplug":
                board.unplug()
            case "replug":
                board.replug()
            case "damage":
                board.damage_next(Damage(argument))
            case _ if word in board.own_words:
                board.own_words[word](argument)
            case _:
                return _help(board)
    except ValueError:
        return _help(board)
    return ""


def _help(board: SimulatedBoard) -> str:
    own = ", ".join(board.own_words)
    return f"{HELP}\nalso: {own}" if own else HELP


async def run_board(name: str, make: Callable[[Callable[[BoardEvent], None]], SimulatedBoard], typed: TextIO) -> None:
    """Run the board that `make(on_event)` gives until cancelled; faults are read from `typed`, one a line."""

    def show(event: BoardEvent) -> None:
        print(f"{time.strftime('%H:%M:%S')} {event.kind:9} {event.detail}", flush=True)

    def carry_out(line: str) -> None:
        words = obey(board, line)
        if words:
            print(words, flush=True)

    board = make(show)
    await board.start()
    print(f"a simulated {name} board listens on {board.link or board.path}", flush=True)
    loop = asyncio.get_running_loop()
    stopped = threading.Event()

    def listen() -> None:
        with contextlib.suppress(OSError):  # the terminal is gone, or belongs to another program
            for line in typed:
                if stopped.is_set():
                    return
                loop.call_soon_threadsafe(carry_out, line)

    # In the background of a shell a read would stop the whole program; like this it only fails.
    signal.signal(signal.SIGTTIN, signal.SIG_IGN)
    # A thread of its own, given up at the end: nothing can interrupt somebody who has not typed yet.
    threading.Thread(target=listen, name="typed faults", daemon=True).start()
    try:
        await asyncio.Event().wait()
    finally:
        stopped.set()
        await board.stop()
