"""Signatures of WeChat Pay v2.

The text that is signed: every field except `sign` and the empty ones, sorted by name in ASCII order, joined as
`name=value` with `&` (values raw, never percent-encoded), and `&key=` + API key at its end. MD5 of its UTF-8 bytes,
or HMAC-SHA256 of the same text keyed with the API key, in upper-case hex. (WeChat Pay v2, "安全规范".)
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Mapping

from kiosk.settings import SignType


def sign(params: Mapping[str, str], key: str, sign_type: SignType) -> str:
    """The signature of `params`: 32 (MD5) or 64 (HMAC-SHA256) upper-case hex digits."""
    fields = [f"{name}={value}" for name, value in sorted(params.items()) if value and name != "sign"]
    text = "&".join([*fields, f"key={key}"]).encode()
    if sign_type is SignType.HMAC_SHA256:
        return hmac.new(key.encode(), text, hashlib.sha256).hexdigest().upper()
    return hashlib.md5(text, usedforsecurity=False).hexdigest().upper()  # the protocol's choice, not ours


def verify(params: Mapping[str, str], key: str, sign_type: SignType) -> bool:
    """Whether `params["sign"]` is right over all the other fields received, whatever their names.

    The sign type is the caller's knowledge. What a message says about itself (its `sign_type`, the length of its
    signature) would let a forger choose the weaker one, so it is never looked at.
    """
    return hmac.compare_digest(params.get("sign", "").encode(), sign(params, key, sign_type).encode())


def nonce() -> str:
    """32 random hex digits, as `nonce_str` wants them."""
    return secrets.token_hex(16)
