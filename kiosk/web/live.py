"""The live feed: whoever watches gets status and order changes as they happen."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from tornado import websocket

from kiosk.records import Change
from kiosk.waiting import happens
from kiosk.web.views import Site, order_view, status_view

GATHER_SECONDS = 0.1  # changes come in bursts: the first is told at once, the others together
HEARTBEAT_SECONDS = 2.0  # a page that hears nothing for longer than two of these says that it is stale
NOT_LOGGED_IN = 4401  # of the range for private use (RFC 6455, 7.4.2)
MAX_WATCHERS = 50
MAX_UNSENT_BYTES = 256 * 1024  # a phone that went out of reach: dropped, it comes back by itself


class Watcher(websocket.WebSocketHandler):
    """One who watches."""

    def may_watch(self) -> bool:
        """Whether this one may go on watching."""
        raise NotImplementedError


class Live:
    """Everybody who watches."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._watchers: set[Watcher] = set()
        self._dirty = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        site.journal.subscribe(self._on_change)
        site.readiness.on_change(self._dirty.set)
        site.shelf.on_change(self._dirty.set)
        site.dispatcher.on_vend(self._dirty.set)
        site.storefront.on_picture(lambda: self._tell({"type": "picture"}))

    def add(self, watcher: Watcher) -> bool:
        """Take a watcher in; False if there are too many."""
        if len(self._watchers) >= MAX_WATCHERS:
            return False
        self._watchers.add(watcher)
        self._send(json.dumps({"type": "status", "status": status_view(self._site)}, ensure_ascii=False), watcher)
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._feed())
        return True

    def remove(self, watcher: Watcher) -> None:
        """Let a watcher go."""
        self._watchers.discard(watcher)

    async def _feed(self) -> None:
        while self._watchers:
            if await happens(self._dirty, HEARTBEAT_SECONDS):
                self._dirty.clear()
                self._tell({"type": "status", "status": status_view(self._site)})
                await asyncio.sleep(GATHER_SECONDS)
            else:
                self._tell({"type": "heartbeat"})
        self._task = None

    def _on_change(self, change: Change) -> None:
        if change.order is not None and self._watchers:
            self._tell({"type": "order", "order": order_view(change.order)})

    def _tell(self, message: dict[str, Any]) -> None:
        text = json.dumps(message, ensure_ascii=False)
        for watcher in tuple(self._watchers):
            if watcher.may_watch():
                self._send(text, watcher)
            else:
                watcher.close(NOT_LOGGED_IN, "log in again")

    def _send(self, message: str, watcher: Watcher) -> None:
        connection = watcher.ws_connection
        stream = getattr(connection, "stream", None)
        if stream is not None and stream.writing() and len(getattr(stream, "_write_buffer", b"")) > MAX_UNSENT_BYTES:
            watcher.close(1008)
            return
        try:
            watcher.write_message(message)
        except websocket.WebSocketClosedError:
            self._watchers.discard(watcher)
