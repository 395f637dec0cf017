"""The process that owns the window: puts boxes on the screen, tells of taps, ends with the machine.

Started by `display.window.Window` with the number of its end of the socket pair, and the wanted width and height;
what SDL is to know before it is loaded stands in the environment.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import sys

import pygame

from display.window_link import BOX, BYTES_PER_PIXEL

PUMP_SECONDS = 0.02  # how long a tap may lie with SDL; window systems think dead what answers nothing for seconds
BARE_BOARD = "KMSDRM"  # SDL's name for a screen without a desktop
NO_DISPLAY = frozenset({"dummy", "offscreen", "evdev"})  # SDL's ways to show nothing, good only if asked for


class WindowLost(Exception):
    """There is no window any more, or never was; the sentence says why."""


def main(end: int, width: int, height: int) -> int:
    """Show what comes until the machine closes its end; return the exit status."""
    # Ctrl-C in a terminal and a service manager's stop are for the machine, which says goodbye on this screen first.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    with socket.socket(fileno=end) as link:
        try:
            surface = _open(width, height)
            _say(link, f"size {surface.get_width()} {surface.get_height()}")
            _serve(link, surface)
        except (WindowLost, pygame.error) as error:
            _say(link, f"failed {error}")
            return 1
        except OSError:  # the machine is gone
            return 0
    return 0


def _open(width: int, height: int) -> pygame.Surface:
    try:
        pygame.display.init()
    except pygame.error as error:
        raise WindowLost(
            f"no screen for a window was found ({error}): on a desktop start the machine within its session (DISPLAY "
            "or WAYLAND_DISPLAY); on a bare board put its user into the groups video, render and input"
        ) from error
    driver = pygame.display.get_driver()
    if driver in NO_DISPLAY and os.environ.get("SDL_VIDEODRIVER") != driver:
        raise WindowLost("no screen for a window was found: there is neither a desktop nor a KMS device (/dev/dri)")
    if driver == "x11":  # which can show a picture without a graphics driver of 90 MB beside it
        os.environ.setdefault("SDL_FRAMEBUFFER_ACCELERATION", "0")
    desktop = pygame.display.get_desktop_sizes()[0]
    fits = 0 < width <= desktop[0] and 0 < height <= desktop[1] and (width, height) != desktop
    whole = driver == BARE_BOARD or not fits
    pygame.display.set_caption("kiosk")
    surface = pygame.display.set_mode(desktop if whole else (width, height), pygame.FULLSCREEN if whole else 0)
    pygame.display.set_allow_screensaver(False)
    pygame.mouse.set_visible(False)
    return surface


def _serve(link: socket.socket, surface: pygame.Surface) -> None:
    changed: list[tuple[int, int, int, int]] = []
    while True:
        ready, _, _ = select.select([link], [], [], PUMP_SECONDS)
        if ready:
            header = link.recv(BOX.size, socket.MSG_WAITALL)
            if len(header) < BOX.size:
                return
            left, top, right, bottom = BOX.unpack(header)
            if right > left:
                size = (right - left, bottom - top)
                pixels = link.recv(wanted := size[0] * size[1] * BYTES_PER_PIXEL, socket.MSG_WAITALL)
                if len(pixels) < wanted:
                    return
                surface.blit(pygame.image.frombuffer(pixels, size, "RGB"), (left, top))
                changed.append((left, top, *size))
                continue
            pygame.display.update(changed)
            changed = []
            _say(link, "shown")
        for event in pygame.event.get():
            _react(link, event, surface.get_size())


def _react(link: socket.socket, event: pygame.Event, size: tuple[int, int]) -> None:
    if event.type == pygame.QUIT:
        raise WindowLost("the window was closed")
    if event.type == pygame.WINDOWSIZECHANGED and (event.x, event.y) != size:
        raise WindowLost(f"the screen changed its size to {event.x}x{event.y}: the window is opened anew")
    if event.type == pygame.WINDOWEXPOSED:
        pygame.display.flip()
    place = tap(event, size)
    if place is not None:
        _say(link, "tap {} {}".format(*place))


def tap(event: pygame.Event, size: tuple[int, int]) -> tuple[int, int] | None:
    """The pixel of a window of that size on which a finger or the left mouse button went down; None for others."""
    if event.type == pygame.FINGERDOWN:  # in parts of the window
        return min(int(event.x * size[0]), size[0] - 1), min(int(event.y * size[1]), size[1] - 1)
    if event.type == pygame.MOUSEBUTTONDOWN and event.button == 1 and not event.touch:
        return event.pos  # type: ignore[no-any-return] # a pair of whole numbers
    return None


def _say(link: socket.socket, line: str) -> None:
    with contextlib.suppress(BrokenPipeError):
        link.sendall(line.encode("ascii", "replace") + b"\n")


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:])))
