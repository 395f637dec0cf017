"""The two examples of a reverse proxy in docs/, each as a real process with TLS before a running machine."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import ssl
import subprocess
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import pytest
from certificates_kit import write_certificate
from scenario_kit import LIMIT_SECONDS, Bench, bench
from tornado.httpclient import HTTPResponse
from tornado.simple_httpclient import SimpleAsyncHTTPClient

from kiosk.clock import CHINA_STANDARD_TIME
from kiosk.orders import OrderState
from kiosk.payments.wechat import xml
from kiosk.payments.wechat.signature import nonce, sign
from kiosk.simulation.scratch import free_ports

PROJECT = Path(__file__).parents[2]
NAME = "pay.example.com"
PHONE = "127.0.0.7"  # the address that the phone asks from; what it claims to be is another one
PATH = "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"
MACHINE = "127.0.0.1:8000"  # as it stands in the examples


def nginx(folder: Path, port: int, machine_port: int) -> list[str]:
    """docs/nginx.conf on a port of the test, within what /etc/nginx/nginx.conf has around it."""
    site = (PROJECT / "docs/nginx.conf").read_text()
    for old, new in (
        ("listen 443 ssl", f"listen 127.0.0.1:{port} ssl"),
        ("/etc/letsencrypt/live/pay.example.com/fullchain.pem", str(folder / "cert.pem")),
        ("/etc/letsencrypt/live/pay.example.com/privkey.pem", str(folder / "key.pem")),
        (MACHINE, f"127.0.0.1:{machine_port}"),
    ):
        assert old in site, old
        site = site.replace(old, new)
    own = "\n".join(
        f"{what}_temp_path {folder}/{what};" for what in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    conf = folder / "main.conf"
    conf.write_text(
        f"daemon off; master_process off; pid {folder}/pid; error_log stderr;\n"
        f"events {{}}\nhttp {{ access_log off;\n{own}\n{site} }}\n"
    )
    return ["nginx", "-e", "stderr", "-p", str(folder), "-c", str(conf)]


def caddy(folder: Path, port: int, machine_port: int) -> list[str]:
    """docs/Caddyfile on a port of the test, with the test's certificate instead of a fetched one."""
    site = (PROJECT / "docs/Caddyfile").read_text()
    for old, new in (
        (f"\n{NAME} {{", f"\n{NAME}:{port} {{\n\ttls {folder}/cert.pem {folder}/key.pem\n\tbind 127.0.0.1"),
        (MACHINE, f"127.0.0.1:{machine_port}"),
    ):
        assert old in site, old
        site = site.replace(old, new)
    conf = folder / "Caddyfile"
    conf.write_text(f"{{\n\tadmin off\n\tauto_https disable_redirects\n}}\n{site}")
    return ["caddy", "run", "--adapter", "caddyfile", "--config", str(conf)]


@dataclass
class Front:
    """The machine as the internet sees it."""

    here: Bench
    client: SimpleAsyncHTTPClient
    port: int
    certificate: Path

    async def ask(self, path: str, body: bytes | None = None, headers: dict[str, str] | None = None) -> HTTPResponse:
        return await self.client.fetch(
            f"https://{NAME}:{self.port}{path}",
            method="GET" if body is None else "POST",
            body=body,
            headers={"X-Forwarded-For": "9.9.9.9", **(headers or {})},
            ca_certs=str(self.certificate),
            network_interface=PHONE,
            raise_error=False,
            request_timeout=LIMIT_SECONDS,
        )

    async def ask_json(self, path: str, values: dict[str, str], token: str = "") -> dict[str, dict[str, str]]:
        answer = await self.ask(
            f"/miniprogram/{path}", json.dumps(values).encode(), {"Authorization": f"Bearer {token}"} if token else {}
        )
        found: dict[str, dict[str, str]] = json.loads(answer.body)
        return found


def start(folder: Path, prepare: Callable[[], list[str]]) -> subprocess.Popen[bytes]:
    """Run what `prepare` says, in a folder of its own with a certificate."""
    folder.mkdir()
    write_certificate(folder, NAME)
    command = prepare()
    assert shutil.which(command[0], path=PATH), f"{command[0]} is missing; run: make setup-dev"
    with (folder / "log").open("w") as log:
        return subprocess.Popen(command, env={"PATH": PATH, "HOME": str(folder)}, stdout=log, stderr=log)


def log_of(folder: Path) -> str:
    return (folder / "log").read_text()


@pytest.fixture(params=[nginx, caddy], ids=["nginx", "caddy"])
async def front(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Front]:
    async with bench(tmp_path, miniprogram=True) as here, behind(here, request.param, tmp_path / "proxy") as made:
        yield made


@asynccontextmanager
async def behind(here: Bench, proxy: Callable[[Path, int, int], list[str]], folder: Path) -> AsyncIterator[Front]:
    with free_ports(1) as (port,):
        process = start(folder, lambda: proxy(folder, port, here.settings.callbacks.port))
        client = SimpleAsyncHTTPClient(force_instance=True, hostname_mapping={NAME: "127.0.0.1"})
        made = Front(here, client, port, folder / "cert.pem")
        try:

            async def up() -> bool:
                assert process.poll() is None, log_of(folder)
                try:
                    return (await made.ask("/healthz")).code == 200
                except (OSError, ssl.SSLError):
                    return False

            await here.until_async(up, "the proxy answers")
            yield made
        finally:
            client.close()
            process.terminate()
            await asyncio.to_thread(process.wait, LIMIT_SECONDS)


class TestAProxy:
    async def test_a_notification_comes_through(self, front: Front) -> None:
        """WeChat's message reaches the machine unchanged over TLS, and its answer WeChat: the can drops."""
        here = front.here
        here.wechat.faults.set("notify", "never")
        number = (await here.scan("cola")).out_trade_no
        pay = here.settings.wechatpay
        fields = {
            "return_code": "SUCCESS",
            "result_code": "SUCCESS",
            "appid": pay.app_id,
            "mch_id": pay.mch_id,
            "nonce_str": nonce(),
            "openid": "o-customer",
            "trade_type": "NATIVE",
            "total_fee": "350",
            "transaction_id": "4200000065201803063807324676",
            "out_trade_no": number,
            "time_end": datetime.now(CHINA_STANDARD_TIME).strftime("%Y%m%d%H%M%S"),
        }
        fields["sign"] = sign(fields, pay.api_key, pay.sign_type)
        answer = await front.ask("/wxpay/notify", xml.build(fields))
        assert b"<return_code><![CDATA[SUCCESS]]></return_code>" in answer.body
        await here.settled(number, OrderState.DISPENSED)

    async def test_the_machine_learns_who_asks_and_not_who_one_claims_to_be(self, front: Front) -> None:
        """The address that the proxy sees reaches WeChat (spbill_create_ip); a forged X-Forwarded-For does not."""
        wechat = front.here.wechat
        token = (await front.ask_json("login", {"code": wechat.login()}))["token"]
        order = (await front.ask_json("orders", {"product_id": "cola"}, str(token)))["order"]
        number = order["out_trade_no"]
        await front.ask_json(f"orders/{number}/pay", {}, str(token))
        assert wechat.ledger.order(out_trade_no=number).fields["spbill_create_ip"] == PHONE

    async def test_only_what_is_meant_for_the_internet_is_there(self, front: Front) -> None:
        """Another path gives 404 from the proxy itself, and a body above 64 KiB is refused."""
        for path in ("/", "/login", "/metrics", "/api/status", "/wxpay", "/healthz/x"):
            assert (await front.ask(path)).code == 404, path
        # Caddy 2.6 learns of its limit while it hands the body on; what it says then depends on who gives up first.
        assert (await front.ask("/wxpay/notify", b"x" * 70_000)).code in {400, 413, 502}


def test_the_examples_name_the_machines_default_address() -> None:
    """Whoever copies one finds the machine where a fresh ini puts it."""
    listen = re.search(r"^\[callbacks\].*\nlisten = (\S+)", (PROJECT / "kiosk.ini").read_text(), re.MULTILINE)
    assert listen is not None
    assert listen[1] == MACHINE
