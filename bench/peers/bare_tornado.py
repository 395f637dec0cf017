"""The limit for a payment notification: a Tornado handler that reads the body and answers a constant."""

from __future__ import annotations

import asyncio
import sys

from tornado import web

ANSWER = b"<xml><return_code><![CDATA[SUCCESS]]></return_code><return_msg><![CDATA[OK]]></return_msg></xml>"


class Notify(web.RequestHandler):
    """POST /wxpay/notify."""

    def post(self) -> None:
        """Answer."""
        self.set_header("Content-Type", "text/xml; charset=utf-8")
        self.finish(ANSWER)


async def serve(port: int) -> None:
    """Listen until killed."""
    web.Application([(r"/wxpay/notify", Notify)]).listen(port, "127.0.0.1")
    print("ready", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1])))
