"""A payment notification as one would take it with wechatpy on Tornado, its orders in SQLite.

    python wechatpy_tornado.py PORT FOLDER ORDERS KEPT

KEPT: "commit" (one connection, a durable commit for each notification), "memory" (orders in a dict, nothing kept) or
"connect" (as many do: a connection opened for each notification).
"""

from __future__ import annotations

import asyncio
import sqlite3
import sys
from pathlib import Path

from tornado import web
from wechatpy.exceptions import InvalidSignatureException
from wechatpy.pay import WeChatPay

APP_ID, MCH_ID, KEY, FEN = "wx8888888888888888", "1900000109", "k" * 32, 350
SUCCESS = b"<xml><return_code><![CDATA[SUCCESS]]></return_code><return_msg><![CDATA[OK]]></return_msg></xml>"
FAIL = b"<xml><return_code><![CDATA[FAIL]]></return_code><return_msg><![CDATA[refused]]></return_msg></xml>"


class Orders:
    """Marks orders as paid."""

    def __init__(self, file: Path, numbers: list[str], kept: str) -> None:
        self._file = file
        self._kept = kept
        self._unpaid = dict.fromkeys(numbers, FEN)
        self._connection = self._connect()
        self._connection.execute("PRAGMA journal_mode = WAL")
        self._connection.execute(
            "CREATE TABLE orders (out_trade_no TEXT PRIMARY KEY, fen INTEGER, state TEXT, transaction_id TEXT)"
        )
        self._connection.executemany(
            "INSERT INTO orders VALUES (?, ?, 'unpaid', NULL)", [(number, FEN) for number in numbers]
        )
        self._connection.commit()

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self._file)
        connection.execute("PRAGMA synchronous = FULL")
        return connection

    def pay(self, number: str, fen: int, transaction: str) -> bool:
        """Whether there is such an order for such an amount; it is paid then."""
        if self._kept == "memory":
            return self._unpaid.pop(number, None) == fen
        connection = self._connect() if self._kept == "connect" else self._connection
        try:
            row = connection.execute("SELECT fen FROM orders WHERE out_trade_no = ?", (number,)).fetchone()
            if row is None or row[0] != fen:
                return False
            connection.execute(
                "UPDATE orders SET state = 'paid', transaction_id = ? WHERE out_trade_no = ?", (transaction, number)
            )
            connection.commit()
        finally:
            if self._kept == "connect":
                connection.close()
        return True


class Notify(web.RequestHandler):
    """POST /wxpay/notify."""

    def initialize(self, pay: WeChatPay, orders: Orders) -> None:
        """Take the parts."""
        self.pay = pay
        self.orders = orders

    def post(self) -> None:
        """Read, verify, match, keep, answer."""
        self.set_header("Content-Type", "text/xml; charset=utf-8")
        try:
            told = self.pay.parse_payment_result(self.request.body)
        except InvalidSignatureException:
            self.finish(FAIL)
            return
        taken = self.orders.pay(told["out_trade_no"], told["total_fee"], told["transaction_id"])
        self.finish(SUCCESS if taken else FAIL)


async def serve(port: int, folder: Path, count: int, kept: str) -> None:
    """Listen until killed."""
    numbers = [f"bench-1-{number:012}-BBBBBB" for number in range(count)]
    parts = {
        "pay": WeChatPay(appid=APP_ID, api_key=KEY, mch_id=MCH_ID),
        "orders": Orders(folder / f"{kept}.sqlite", numbers, kept),
    }
    web.Application([(r"/wxpay/notify", Notify, parts)]).listen(port, "127.0.0.1")
    print("ready", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), sys.argv[4]))
