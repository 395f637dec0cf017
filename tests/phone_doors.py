"""Machines on demand for tests in another language: POST /machines makes one, /machines/N/WHAT tells it something.

Each is a whole machine of `scenario_kit.bench` with the mini-program's side, in a folder of its own.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

from phone_kit import Phone
from scenario_kit import Bench, bench
from tornado import web
from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets


class _Machines:
    """Those that run."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.running: dict[str, tuple[Bench, AsyncExitStack]] = {}
        self.made = 0

    async def make(self, options: dict[str, Any]) -> dict[str, str]:
        self.made += 1
        number = str(self.made)
        folder = self.folder / number
        folder.mkdir()
        life = AsyncExitStack()
        here = await life.enter_async_context(bench(folder, miniprogram=True, wechatpay=options))
        self.running[number] = here, life
        return {
            "number": number,
            "id": here.settings.kiosk.id,
            "address": f"http://127.0.0.1:{here.settings.callbacks.port}",
            "wechat": here.wechat.base_url,
        }

    async def tell(self, number: str, what: str, values: dict[str, Any]) -> dict[str, Any]:
        here, life = self.running[number]
        match what:
            case "jam":
                for slot in values["slots"]:
                    here.board.jam(slot)
            case "out-of-service":
                await here.machine.readiness.switch_out_of_service(values["text"], "test")
            case "reserve":
                await (await Phone(here, "o-other").log_in()).order(values["product"])
            case "books":
                accounts = here.wechat.ledger.audit().values()
                return {
                    "drops": [drop.selection for drop in here.board.drops],
                    "paid_fen": sum(account.paid_fen for account in accounts),
                    "refunded_fen": sum(account.refunded_fen for account in accounts),
                }
            case "stop":
                del self.running[number]
                await life.aclose()
            case _:
                raise web.HTTPError(404)
        return {}

    async def stop(self) -> None:
        for _, life in self.running.values():
            await life.aclose()


class _Handler(web.RequestHandler):
    def initialize(self, machines: _Machines) -> None:
        self.machines = machines

    async def post(self, number: str | None = None, what: str = "") -> None:
        values = json.loads(self.request.body)
        if number is None:
            self.finish(await self.machines.make(values))
        else:
            self.finish(await self.machines.tell(number, what, values))


@asynccontextmanager
async def phone_doors(folder: Path) -> AsyncIterator[str]:
    """The address of the doors."""
    machines = _Machines(folder)
    given = {"machines": machines}
    application = web.Application(
        [(r"/machines", _Handler, given), (r"/machines/([0-9]+)/([a-z-]+)", _Handler, given)],
        log_function=lambda _: None,
    )
    server = HTTPServer(application)
    sockets = bind_sockets(0, "127.0.0.1")
    server.add_sockets(sockets)
    try:
        yield f"http://127.0.0.1:{sockets[0].getsockname()[1]}"
    finally:
        server.stop()
        await server.close_all_connections()
        await machines.stop()
