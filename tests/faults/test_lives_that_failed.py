"""Random lives in which something was found once, each by its name: they are lived again at every run."""

from __future__ import annotations

from soak_life import Life


def test_a_code_expires_as_the_day_ends() -> None:
    """An answer of WeChat is lost in the moment in which a code is closed: the next try closes it.

    What was wrong was the test of random lives, which looked two seconds after the end of the code's time.
    """
    life = Life()
    life.begin(seed=41870)
    life.a_restart()
    life.the_board_goes_away(seconds=100.0)
    life.a_restart()
    life.the_power_fails(points=4, seconds=90.0)
    life.a_restart()
    life.the_power_fails(points=11, seconds=900.0)
    life.a_restart()
    life.a_restart()
    life.the_clock_is_wrong(offset=3600, seconds=100.0)
    life.a_restart()
    life.a_restart()
    life.a_restart()
    life.a_restart()
    life.the_board_goes_away(seconds=100.0)
    life.the_clock_is_wrong(offset=-3600, seconds=4000.0)
    life.the_power_fails(points=9, seconds=900.0)
    life.a_technician_comes()
    life.a_restart()
    life.a_restart()
    life.a_restart()
    life.the_board_goes_away(seconds=20.0)
    life.the_board_goes_away(seconds=1.0)
    life.a_technician_comes()
    life.the_power_fails(points=9, seconds=0.0)
    life.a_technician_comes()
    life.the_clock_is_wrong(offset=-30, seconds=400.0)
    life.a_restart()
    life.a_technician_comes()
    life.the_power_fails(points=11, seconds=900.0)
    life.the_board_goes_away(seconds=1.0)
    life.a_restart()
    life.the_clock_is_wrong(offset=-3600, seconds=4000.0)
    life.the_board_goes_away(seconds=20.0)
    life.the_board_goes_away(seconds=100.0)
    life.the_board_goes_away(seconds=4000.0)
    life.the_power_fails(points=9, seconds=0.0)
    life.the_clock_is_wrong(offset=-30, seconds=1.0)
    life.a_restart()
    life.the_board_goes_away(seconds=4000.0)
    life.a_technician_comes()
    life.the_power_fails(points=0, seconds=90.0)
    life.the_board_goes_away(seconds=20.0)
    life.the_clock_is_wrong(offset=3600, seconds=20.0)
    life.the_board_goes_away(seconds=100.0)
    life.the_clock_is_wrong(offset=3600, seconds=400.0)
    life.a_restart()
    life.a_technician_comes()
    life.a_technician_comes()
    life.the_board_goes_away(seconds=100.0)
    life.teardown()
