"""The log tells what happens in one line a record, and no secret."""

from __future__ import annotations

import logging
import sys

import pytest

from kiosk.logs import LineFormatter, redact

SECRET = "c0ffee-secret-value"

FORMS = [
    f"<xml><sign>{SECRET}</sign></xml>",
    f"<xml><sign><![CDATA[{SECRET}]]></sign></xml>",
    f"<openid><![CDATA[{SECRET}\n{SECRET}]]></openid>",
    f"<req_info>{SECRET}</req_info>",
    f'{{"session_key":"{SECRET}","openid" : "{SECRET}"}}',
    f"{{'paySign': '{SECRET}'}}",
    f"https://api.weixin.qq.com/sns/jscode2session?appid=wx1&secret={SECRET}&js_code={SECRET}&grant_type=x",
    f"weixin://wxpay/bizpayurl?appid=wx1&sign={SECRET}",
    f"appid=wx1&body=x&key={SECRET}",
    f"Authorization: Bearer {SECRET}",
    f"Cookie: session={SECRET}; other={SECRET}",
    f"api_token={SECRET}",
]


def record(message: str, *args: object, exc_info: bool = False) -> logging.LogRecord:
    return logging.LogRecord("kiosk.x", logging.INFO, "x.py", 1, message, args, sys.exc_info() if exc_info else None)


@pytest.mark.parametrize("text", FORMS)
def test_every_form_in_which_a_secret_travels_is_masked(text: str) -> None:
    """Whatever part of a message with a secret is logged, the secret is not."""
    line = LineFormatter().format(record("got %s", text))
    assert SECRET not in line
    assert "***" in line


def test_known_secrets_are_masked_wherever_they_stand() -> None:
    """The keys of the ini do not reach the log, even in a stack trace."""
    try:
        int(SECRET)
    except ValueError:
        line = LineFormatter([SECRET]).format(record("oops", exc_info=True))
    assert "ValueError: invalid literal for int() with base 10: '***'" in line
    assert SECRET not in line


def test_harmless_text_is_left_alone() -> None:
    """What a technician needs to read stays."""
    text = "order lobby-1-261123101500-7F3K2A: signed, keyboard, design=1, monkey=2; <total_fee>350</total_fee>"
    assert redact(text) == text


def test_a_record_is_one_line() -> None:
    """Nobody can forge a line by a message with a line end in it, and Chinese stays readable."""
    line = LineFormatter().format(record("从 %s", "a\nERROR kiosk: b\x1b[31m"))
    assert line.endswith("INFO kiosk.x: 从 a\\nERROR kiosk: b\\x1b[31m")


def test_a_line_starts_with_time_level_and_logger() -> None:
    """Time has its offset, so that lines of two machines can be compared."""
    assert LineFormatter().format(record("hello")).split(" ")[1:] == ["INFO", "kiosk.x:", "hello"]
