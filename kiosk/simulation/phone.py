"""The page of the demo: a phone, the machine before it, and a drawer of faults. Plain HTML, no other host.

JSON, polled: GET /state?after=N answers as soon as there is something newer than N. Everything else is a POST of
JSON, which a page of another site cannot send.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tornado import web

from kiosk.simulation.member import Answer
from kiosk.simulation.scratch import GOODS, SCREEN
from kiosk.simulation.wechat import Cashier, Payment
from kiosk.simulation.world import World

POLL_SECONDS = 20.0  # below the patience of every proxy and browser
STATIC = Path(__file__).parent / "static"


class _Handler(web.RequestHandler):
    """Everything here knows the world, and loads nothing from elsewhere."""

    def initialize(self, world: World) -> None:
        """Take the part."""
        self.world = world

    def set_default_headers(self) -> None:
        """Nothing is kept, nothing comes from another host."""
        self.set_header("Cache-Control", "no-store")
        self.set_header("Content-Security-Policy", "default-src 'self'; img-src 'self' blob:")
        self.set_header("X-Content-Type-Options", "nosniff")
        self.clear_header("Server")

    def values(self) -> dict[str, Any]:
        """The object in the body; 400 for anything else."""
        if not self.request.headers.get("Content-Type", "").startswith("application/json"):
            raise web.HTTPError(415)
        try:
            values = json.loads(self.request.body)
        except ValueError:
            raise web.HTTPError(400) from None
        if not isinstance(values, dict):
            raise web.HTTPError(400)
        return values


class _Page(_Handler):
    """The page itself."""

    def get(self) -> None:
        """HTML."""
        self.set_header("Content-Type", "text/html; charset=utf-8")
        self.finish((STATIC / "index.html").read_bytes())


class _About(_Handler):
    """What does not change while the demo runs."""

    def get(self) -> None:
        """The goods, and where the technician goes."""
        goods = [
            {"id": good.id, "zh": good.name, "en": good.name_en, "picture": good.picture is not None}
            for good in GOODS
        ]
        technician = {"url": self.world.technician, "password": self.world.scratch.password}
        self.finish({"goods": goods, "technician": technician, "screen": SCREEN})


class _State(_Handler):
    """What changes."""

    async def get(self) -> None:
        """Wait for something newer than ?after=, not for ever."""
        try:
            after = int(self.get_argument("after", "-1"))
        except ValueError:
            raise web.HTTPError(400) from None
        await self.world.change(after, POLL_SECONDS)
        self.finish(self.world.state)


class _Picture(_Handler):
    """The machine's screen as it is now."""

    async def get(self) -> None:
        """A PNG; nothing while the screen has lost its picture, which is no mistake of whoever asks."""
        png = await self.world.picture()
        if png is None:
            self.set_status(204)
            return
        self.set_header("Content-Type", "image/png")
        self.finish(png)


class _Codes(_Handler):
    """Where codes are on the screen."""

    async def get(self) -> None:
        """Boxes in parts of the picture's width and height."""
        boxes = [
            {"left": code.left, "top": code.top, "right": code.right, "bottom": code.bottom}
            for code in await self.world.codes()
        ]
        self.finish({"codes": boxes})


class _Scan(_Handler):
    """A tap on the camera's picture."""

    async def post(self) -> None:
        """{"x", "y"} → {"cashier"}, {"told"} or {} when there is no code at that place."""
        values = self.values()
        try:
            x, y = float(values["x"]), float(values["y"])
        except (KeyError, TypeError, ValueError):
            raise web.HTTPError(400) from None
        answer = await self.world.scan_at(x, y)
        if answer is None:
            self.finish({})
        else:
            self.finish({"cashier" if isinstance(answer, Cashier) else "told": asdict(answer)})


class _Pay(_Handler):
    """The password was typed."""

    async def post(self) -> None:
        """{"out_trade_no"} → {"paid": true} or {"told"}."""
        answer = await self.world.pay(str(self.values().get("out_trade_no")))
        self.finish({"paid": True} if isinstance(answer, Payment) else {"told": asdict(answer)})


class _Member(_Handler):
    """The mini-program, which the page shows and the server speaks for: a page may ask no other host."""

    async def post(self) -> None:
        """{"what": products, order, look or pay, …} → what the machine said, {"paid": true} or {"words": why not}."""
        values, member = self.values(), self.world.member
        member.language = "en" if values.get("language") == "en" else "zh"
        number = str(values.get("out_trade_no"))
        match values.get("what"):
            case "products":
                answer = await member.products()
            case "order":
                answer = await member.order(str(values.get("product_id")))
            case "look":
                answer = await member.look(number)
            case "pay":
                paid = await member.pay(number)
                if isinstance(paid, Answer):
                    answer = paid
                else:
                    self.finish({"paid": True} if isinstance(paid, Payment) else {"words": paid.text})
                    return
            case _:
                raise web.HTTPError(400)
        self.finish({"words": answer.words} if answer.words else answer.values)


class _Deed(_Handler):
    """What changes the world without an answer."""

    def post(self, what: str) -> None:
        """POST /cancel {"out_trade_no"}, /take {}, /power {}, /fault {"name", "on"}."""
        values = self.values()
        match what:
            case "cancel":
                self.world.wechat.cancel(str(values.get("out_trade_no")))
            case "take":
                self.world.take_goods()
            case "power":
                self.world.cut_power()
            case _:
                if not self.world.switch_fault(str(values.get("name")), on=bool(values.get("on"))):
                    raise web.HTTPError(400)
        self.finish({})


class _Static(web.StaticFileHandler):
    """Files beside this one; reloaded every time, as they may just have been edited."""

    def set_extra_headers(self, path: str) -> None:  # noqa: ARG002 - the signature is Tornado's
        """Nothing is kept."""
        self.set_header("Cache-Control", "no-cache")


class _GoodPicture(_Handler):
    """A product's picture."""

    def get(self, product: str) -> None:
        """A PNG."""
        picture = next((good.picture for good in GOODS if good.id == product), None)
        if picture is None:
            raise web.HTTPError(404)
        self.set_header("Cache-Control", "max-age=3600")
        self.set_header("Content-Type", "image/png")
        self.finish(picture.read_bytes())


def phone_application(world: World) -> web.Application:
    """The page and what it asks for."""
    parts = {"world": world}
    return web.Application(
        [
            (r"/", _Page, parts),
            (r"/about", _About, parts),
            (r"/state", _State, parts),
            (r"/screen\.png", _Picture, parts),
            (r"/codes", _Codes, parts),
            (r"/scan", _Scan, parts),
            (r"/pay", _Pay, parts),
            (r"/member", _Member, parts),
            (r"/(cancel|take|power|fault)", _Deed, parts),
            (r"/goods/([a-z0-9_-]+)\.png", _GoodPicture, parts),
            (r"/static/(.*)", _Static, {"path": str(STATIC)}),
        ],
        log_function=lambda _: None,
    )
