"""The line over TLS: the client certificate goes with refunds and with nothing else, and strangers get nothing."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from payments_server import WeChatServer
from payments_values import APP_ID, ORDER, REFUND

from kiosk.payments.gateway import Paid, RefundAccepted, Refunded, Unclear
from kiosk.payments.wechat.gateway import WeChatGateway

MakeGateway = Callable[..., WeChatGateway]


@dataclass(frozen=True)
class Pair:
    """A certificate and its key, as files and as values."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey
    cert_file: Path
    key_file: Path


def issue(folder: Path, name: str, issuer: Pair | None = None) -> Pair:
    """A certificate for `name`, signed by the issuer, or by itself as an authority."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    issuer_key = issuer.key if issuer else key
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.certificate.subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.BasicConstraints(ca=issuer is None, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), critical=False)
        .add_extension(
            x509.KeyUsage(True, False, False, False, False, issuer is None, issuer is None, False, False),
            critical=True,
        )
        .sign(issuer_key, hashes.SHA256())
    )
    cert_file, key_file = folder / f"{name}-cert.pem", folder / f"{name}-key.pem"
    cert_file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    key_file.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return Pair(certificate, key, cert_file, key_file)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Pair:
    """Who is trusted."""
    return issue(tmp_path_factory.mktemp("authority"), "authority")


@pytest.fixture
def merchant(authority: Pair, tmp_path: Path) -> dict[str, Path]:
    """The merchant's client certificate."""
    pair = issue(tmp_path, "merchant-10000100", authority)
    return {"client_cert_file": pair.cert_file, "client_key_file": pair.key_file}


@pytest.fixture
def serve(authority: Pair, tmp_path: Path) -> Iterator[Callable[[ssl.VerifyMode], WeChatServer]]:
    """Servers that speak TLS and ask for a client certificate, or demand one."""
    own = issue(tmp_path, "localhost", authority)
    started: list[WeChatServer] = []

    def start(verify_mode: ssl.VerifyMode) -> WeChatServer:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(own.cert_file, own.key_file)
        context.load_verify_locations(authority.cert_file)
        context.verify_mode = verify_mode
        started.append(WeChatServer(tls=context))
        return started[-1]

    yield start
    for server in started:
        server.close()


async def test_the_certificate_goes_with_refunds_only(
    serve: Callable[[ssl.VerifyMode], WeChatServer],
    authority: Pair,
    merchant: dict[str, Path],
    make_gateway: MakeGateway,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Even over connections that are kept open, and though the server asks for it every time."""
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(authority.cert_file))
    server = serve(ssl.CERT_OPTIONAL)
    gateway = make_gateway(server, server, **merchant)
    for _ in range(2):
        assert isinstance(await gateway.query(ORDER.out_trade_no, APP_ID), Paid)
        assert await gateway.refund(REFUND) == RefundAccepted()
        assert isinstance(await gateway.query_refund(REFUND.out_refund_no, APP_ID), Refunded)
    shown = [(call.path.rpartition("/")[2], call.certificate) for call in server.seen.calls]
    once = [("orderquery", None), ("refund", "merchant-10000100"), ("refundquery", None)]
    assert shown == once * 2


async def test_a_server_that_demands_the_certificate_gets_it(
    serve: Callable[[ssl.VerifyMode], WeChatServer],
    authority: Pair,
    merchant: dict[str, Path],
    make_gateway: MakeGateway,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A refund passes; a call without it has no answer, and no more than that."""
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(authority.cert_file))
    server = serve(ssl.CERT_REQUIRED)
    gateway = make_gateway(server, server, **merchant)
    assert await gateway.refund(REFUND) == RefundAccepted()
    assert isinstance(await gateway.query(ORDER.out_trade_no, APP_ID), Unclear)
    assert server.seen.paths() == ["refund"]


async def test_a_server_that_nobody_vouches_for_gets_nothing(
    serve: Callable[[ssl.VerifyMode], WeChatServer], merchant: dict[str, Path], make_gateway: MakeGateway
) -> None:
    """The order is not sent, and the reason names the certificate."""
    server = serve(ssl.CERT_NONE)
    gateway = make_gateway(server, server, **merchant)
    answer = await gateway.refund(REFUND)
    assert isinstance(answer, Unclear)
    assert "certificate verify failed" in answer.reason
    assert server.seen.calls == []


async def test_a_certificate_that_cannot_be_read_is_named(
    serve: Callable[[ssl.VerifyMode], WeChatServer], tmp_path: Path, make_gateway: MakeGateway
) -> None:
    """A missing file and one that is no certificate: nothing is sent, nothing is raised."""
    server = serve(ssl.CERT_NONE)
    missing = tmp_path / "missing.pem"
    answer = await make_gateway(server, server, client_cert_file=missing, client_key_file=missing).refund(REFUND)
    assert isinstance(answer, Unclear)
    assert "missing.pem" in answer.reason
    broken = tmp_path / "broken.pem"
    broken.write_text("not a certificate")
    answer = await make_gateway(server, server, client_cert_file=broken, client_key_file=broken).refund(REFUND)
    assert isinstance(answer, Unclear)
    assert server.seen.calls == []
