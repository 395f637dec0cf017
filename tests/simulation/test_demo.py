from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
from pathlib import Path

import pytest
from tornado.httpclient import AsyncHTTPClient

LIMIT_SECONDS = 90.0  # a whole machine starts, sells and stops in 4 s; this is for a busy computer


def left_in(folder: Path) -> list[str]:
    """What is still there."""
    return [file.name for file in folder.iterdir()]


async def demo(*arguments: str, folder: Path) -> asyncio.subprocess.Process:
    """`kiosk demo` with its scratch folders in a folder of the test's."""
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "kiosk", "demo", *arguments),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=os.environ | {"TMPDIR": str(folder), "LANG": "C.UTF-8"},
    )


@pytest.mark.parametrize("native_mode", ["one", "two"])
async def test_a_purchase_without_a_person(native_mode: str, tmp_path: Path) -> None:
    """The code is read off the picture and paid, the goods drop, the books agree, all is tidied up; in both modes."""
    process = await demo("--buy", "cola", "--headless", "--native-mode", native_mode, folder=tmp_path)
    out, err = await asyncio.wait_for(process.communicate(), LIMIT_SECONDS)
    steps = [re.sub(r"^ *[\d.]+ s  ", "", line) for line in out.decode().splitlines()]
    assert (0, "") == (process.returncode, err.decode()), out.decode()
    assert steps[1].startswith("the code of cola is read off the screen: weixin://wxpay/bizpayurl?")
    assert ("sign=" in steps[1]) == (native_mode == "one")
    assert steps[2].startswith("the cashier opens: ¥3.50 to Lobby drinks for Coca-Cola, order demo-1-")
    assert steps[3].startswith("paid: ")
    assert steps[4:] == [
        "cola falls into the tray",
        "the machine has booked the sale: one paid, one dropped, nothing refunded",
    ]
    assert left_in(tmp_path) == []


async def test_a_purchase_in_the_miniprogram(tmp_path: Path) -> None:
    """Logged in, ordered, paid through wx.requestPayment: the goods drop, the books agree."""
    process = await demo("--buy", "noodles", "--headless", "--miniprogram", folder=tmp_path)
    out, err = await asyncio.wait_for(process.communicate(), LIMIT_SECONDS)
    steps = [re.sub(r"^ *[\d.]+ s  ", "", line) for line in out.decode().splitlines()]
    assert (0, "") == (process.returncode, err.decode()), out.decode()
    assert steps[1].startswith("the mini-program has logged in and ordered Cup noodles for ¥6.00: demo-1-")
    assert steps[2].startswith("paid: ")
    assert steps[3:] == [
        "noodles falls into the tray",
        "the machine has booked the sale: one paid, one dropped, nothing refunded",
    ]
    assert left_in(tmp_path) == []


async def test_a_product_that_is_not_there_is_named(tmp_path: Path) -> None:
    """Exit 1 and one sentence that says what there is."""
    process = await demo("--buy", "beer", folder=tmp_path)
    out, err = await asyncio.wait_for(process.communicate(), LIMIT_SECONDS)
    assert (1, b"") == (process.returncode, out)
    assert err.decode().startswith("the demo's machine sells no 'beer'; it sells cola, sprite, ")


async def test_ctrl_c_ends_everything(tmp_path: Path) -> None:
    """The addresses and the password are printed; after SIGINT no process and no folder is left."""
    process = await demo("--headless", "--port", "0", folder=tmp_path)
    assert process.stdout is not None
    printed = b""
    async with asyncio.timeout(LIMIT_SECONDS):
        while b"Ctrl-C" not in printed:
            printed += await process.stdout.readline()
    text = printed.decode()
    page = re.search(r"Buy a drink: +(http://127\.0\.0\.1:\d+/)", text)
    assert page is not None
    assert re.search(r"Technician's page: http://127\.0\.0\.1:\d+/   password: \S{12}\n", text)
    client = AsyncHTTPClient(force_instance=True)
    answer = await client.fetch(page[1])
    client.close()
    assert b"<title>kiosk demo</title>" in answer.body
    assert answer.headers["Content-Security-Policy"].startswith("default-src 'self'")
    process.send_signal(signal.SIGINT)
    out, err = await asyncio.wait_for(process.communicate(), LIMIT_SECONDS)
    assert (0, "") == (process.returncode, err.decode()), out.decode()
    assert left_in(tmp_path) == []


async def test_the_simulated_wechat_stands_alone() -> None:
    """`kiosk simulate-wechat` prints the merchant that it works for, answers, and ends with SIGTERM."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "kiosk", "simulate-wechat", "--listen", "127.0.0.1:0"),
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    printed = b""
    async with asyncio.timeout(LIMIT_SECONDS):
        while b"/simulator/pay" not in printed:
            printed += await process.stdout.readline()
    found = re.search(r"http://127\.0\.0\.1:\d+", printed.decode())
    assert found is not None
    assert "mch_id = 1900000109" in printed.decode()
    client = AsyncHTTPClient(force_instance=True)
    answer = await client.fetch(f"{found[0]}/simulator/books")
    client.close()
    assert answer.body == b"{}"
    process.terminate()
    await asyncio.wait_for(process.communicate(), LIMIT_SECONDS)
    assert process.returncode == 0
