"""The faults that can be typed into a running simulator."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from mdb_kit import mdb_bench

from hardware.simulated_board import Damage
from hardware.simulator_console import HELP, obey
from hardware.tcn.simulator import TcnBoard


class Recorder(TcnBoard):
    """A board that writes down what was demanded of it."""

    def __init__(self) -> None:
        super().__init__()
        self.demanded: list[tuple[Any, ...]] = []
        for name in ("jam", "empty", "clear", "lose_results", "delay_results", "lose_commands", "damage_next"):
            setattr(self, name, self._note(name))
        for name in ("reboot", "unplug", "replug"):
            setattr(self, name, self._note(name))

    def _note(self, name: str) -> Any:
        return lambda *values: self.demanded.append((name, *values))


@pytest.mark.parametrize(
    ("line", "demanded"),
    [
        ("jam 3\n", ("jam", 3)),
        ("empty 4", ("empty", 4)),
        ("clear 3", ("clear", 3)),
        ("lose", ("lose_results",)),
        ("delay 2.5", ("delay_results", 2.5)),
        ("deaf", ("lose_commands",)),
        ("damage noise before", ("damage_next", Damage.NOISE_BEFORE)),
        ("reboot", ("reboot",)),
        ("unplug", ("unplug",)),
        ("replug", ("replug",)),
    ],
)
async def test_each_word_is_a_fault(line: str, demanded: tuple[Any, ...]) -> None:
    """The words of the help, with their numbers."""
    board = Recorder()
    assert obey(board, line) == ""
    assert board.demanded == [demanded]
    assert line.split(maxsplit=1)[0] in HELP


async def test_the_words_of_one_kind_of_board(tmp_path: Path) -> None:
    """A machine with a keypad takes choices, is cancelled, begins anew; the help names those words for it alone."""
    async with mdb_bench(tmp_path) as here:
        await here.ready()
        assert obey(here.machine, "choose 3 4.50") == ""
        assert here.machine.waits
        assert obey(here.machine, "cancel") == ""
        assert not here.machine.waits
        assert obey(here.machine, "reset") == ""
        assert not here.machine.can_choose
        assert obey(here.machine, "choose") == obey(here.machine, "help")
        assert "choose, cancel, reset" in obey(here.machine, "help")
    assert obey(Recorder(), "help") == HELP


async def test_the_faults_that_last() -> None:
    """Silence and a blind sensor end by their own words."""
    board = Recorder()
    for words, expected in (("silent", (True, False)), ("blind", (True, True)), ("speak", (False, True))):
        assert obey(board, words) == ""
        assert (board.silent, board.blind_drop_sensor) == expected
    assert obey(board, "see") == ""
    assert not board.blind_drop_sensor


@pytest.mark.parametrize("line", ["help", "jam", "jam x", "damage it", "delay", "sing"])
async def test_what_is_not_understood_gets_the_help(line: str) -> None:
    """Also a number that is none."""
    assert obey(Recorder(), line) == HELP
