"""No secret in the log, whatever happens to a machine: everything that any part logs is looked through."""

from __future__ import annotations

import io
import logging
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from phone_kit import Phone
from scenario_kit import API_TOKEN, Bench, bench
from tornado.httpclient import AsyncHTTPClient, HTTPResponse

from kiosk.logs import LineFormatter
from kiosk.orders import OrderState
from kiosk.settings import NativeMode
from kiosk.simulation.wechat import Payment
from kiosk.web.password import set_password

PASSWORD = "rain-on-the-tin-roof"
OPENID = "oUpF8uMuAJO_M2pxb1Q9zNjWeS6o"
FAULTS = ("http_500", "reset", "cut_xml", "wrong_signature", "bad_gateway")


class Log:
    """What the machine's log holds, made as `kiosk run` makes it but down to DEBUG, of every library too."""

    def __init__(self) -> None:
        self.stream = io.StringIO()
        self.handler = logging.StreamHandler(self.stream)

    def begin(self, secrets: tuple[str, ...]) -> None:
        self.handler.setFormatter(LineFormatter(secrets))
        logging.getLogger().addHandler(self.handler)
        logging.getLogger().setLevel(logging.DEBUG)

    @property
    def text(self) -> str:
        return self.stream.getvalue()


@pytest.fixture
def log() -> Iterator[Log]:
    made, level = Log(), logging.getLogger().level
    yield made
    logging.getLogger().removeHandler(made.handler)
    logging.getLogger().setLevel(level)


async def ask(port: int, path: str, body: bytes | None = None, **headers: str) -> HTTPResponse:
    return await AsyncHTTPClient().fetch(
        f"http://127.0.0.1:{port}{path}",
        method="GET" if body is None else "POST",
        body=body,
        headers=headers,
        follow_redirects=False,
        raise_error=False,
        request_timeout=60,
    )


async def customers(here: Bench) -> list[str]:
    """Sales, jams and refunds in both ways to pay, with every fault of the line; the secrets that came up."""
    code = await here.code("cola")
    for fault in FAULTS:
        here.wechat.faults.set("unifiedorder", fault)
        await here.wechat.scan(code, OPENID)
        here.wechat.faults.clear("unifiedorder")  # whether it struck once or twice
    here.board.jam(11)
    here.board.jam(12)
    for fault in ("reset", "cut_xml"):
        here.wechat.faults.set("refund", fault)
        here.wechat.faults.set("jscode2session", "reset")
    phone = Phone(here, OPENID)
    await phone.ask("POST", "login", {"code": here.wechat.login(OPENID)})
    await phone.ask("POST", "login", {"code": "a-code-that-is-wrong"})
    await phone.log_in()
    number = await phone.order()
    arguments = (await phone.ask("POST", f"orders/{number}/pay")).values
    assert isinstance(await here.wechat.request_payment(arguments, OPENID), Payment)
    await here.settled(number, OrderState.REFUNDED)
    signs = re.findall(r"sign=([0-9A-F]{32})", code)
    return [OPENID, phone.token, arguments["paySign"], *signs, "a-code-that-is-wrong"]


async def strangers(here: Bench) -> list[str]:
    """Messages that are not believed, and paths that do not exist, each with something secret in it."""
    port, forged = here.settings.callbacks.port, "F0F0F0F0" * 4
    for path in ("scan", "notify", "refund-notify"):
        for fields in (f"<sign>{forged}</sign><openid>{OPENID}</openid>", f"<sign><![CDATA[{forged}]]></sign>", ""):
            await ask(port, f"/wxpay/{path}", f"<xml>{fields}<return_code>SUCCESS</return_code></xml>".encode())
    await ask(port, f"/nothing?access_token={forged}&sign={forged}")
    await ask(port, "/miniprogram/orders/x", Authorization=f"Bearer {forged}")
    return [forged]


async def technicians(here: Bench) -> list[str]:
    """A log-in that fails and one that does not, tokens that are wrong and right."""
    port, wrong = here.settings.web.listen.port, "wrong-but-nearly-right"
    page = await ask(port, "/login")
    xsrf = re.search(r'name="_xsrf" value="([^"]+)"', page.body.decode())
    assert xsrf is not None
    cookie = page.headers["Set-Cookie"].split(";")[0]
    secrets = [wrong, PASSWORD, API_TOKEN]
    for password in (wrong, PASSWORD):
        form = f"_xsrf={xsrf[1]}&password={password}".encode()
        answer = await ask(port, "/login", form, Cookie=cookie)
    secrets.append(answer.headers["Set-Cookie"].split(";")[0].partition("=")[2])
    for token in (API_TOKEN, wrong):
        await ask(port, f"/api/status?api_token={token}", Authorization=f"Bearer {token}")
        await ask(port, "/api/no-such-thing", b"{", Authorization=f"Bearer {token}")
    return secrets


async def test_nothing_secret_is_logged(tmp_path: Path, log: Log) -> None:
    """Keys, tokens, passwords, signatures, cookies and who paid are in no line, of ours or of a library."""
    set_password(tmp_path / "password", PASSWORD)
    async with bench(tmp_path, native_mode=NativeMode.ONE, miniprogram=True) as here:
        log.begin(here.settings.secrets)
        secrets = [*here.settings.secrets]
        for visit in (customers, strangers, technicians):
            secrets += await visit(here)
    lines = log.text.splitlines()
    assert len(lines) > 50
    assert {"kiosk.payments.wechat.client", "kiosk.web.public", "urllib3.connectionpool"} <= {
        line.split(" ")[2].rstrip(":") for line in lines if line.count(" ") > 2
    }
    found = {secret: line for secret in secrets for line in lines if secret in line}
    assert found == {}
