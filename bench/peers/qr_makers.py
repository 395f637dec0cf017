"""Makes codes with others' libraries; asked on standard input, "MAKER FIRST COUNT", answers in seconds.

    python qr_makers.py [LIBQRENCODE]

Version 10 at level M, one matrix a text; nothing is painted and nothing kept.
"""

from __future__ import annotations

import ctypes
import sys
import time
from collections.abc import Callable

import qrcode
import segno
from qrcode.constants import ERROR_CORRECT_M

from bench.codes_made import link

LEVEL_M, MODE_8 = 1, 2


def _qrcode(text: str) -> None:
    code = qrcode.QRCode(version=10, error_correction=ERROR_CORRECT_M)
    code.add_data(text)
    code.make(fit=False)


def _segno(text: str) -> None:
    segno.make(text, version=10, error="m", boost_error=False)


def _libqrencode(path: str) -> Callable[[str], None]:
    library = ctypes.CDLL(path)
    library.QRcode_encodeString.restype = ctypes.c_void_p
    library.QRcode_free.argtypes = [ctypes.c_void_p]

    def make(text: str) -> None:
        code = library.QRcode_encodeString(text.encode(), 10, LEVEL_M, MODE_8, 1)
        if not code:
            raise RuntimeError("libqrencode made no code")
        library.QRcode_free(code)

    return make


def main() -> None:
    """Answer until the other side hangs up."""
    makers: dict[str, Callable[[str], None]] = {"qrcode": _qrcode, "segno": _segno}
    if len(sys.argv) > 1:
        makers["libqrencode"] = _libqrencode(sys.argv[1])
    print("ready", flush=True)
    for line in sys.stdin:
        maker, first, count = line.split()
        texts = [link(number) for number in range(int(first), int(first) + int(count))]
        make = makers[maker]
        began = time.perf_counter()
        for text in texts:
            make(text)
        print(time.perf_counter() - began, flush=True)


if __name__ == "__main__":
    main()
