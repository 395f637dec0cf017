"""The password of the technician's page: an argon2id hash in a file that only its owner can read."""

from __future__ import annotations

import hashlib
import os
import tempfile
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from argon2 import PasswordHasher

MIN_PASSWORD_CHARACTERS = 8  # OWASP ASVS 5.0, 6.2.1
MAX_PASSWORD_CHARACTERS = 256  # bounds what a stranger can make us hash
MAX_HASH_BYTES = 1024  # an argon2id hash has about 100

# The 3000 commonest passwords of eight characters or more in published leaks (OWASP ASVS 5.0, 6.2.4), in lower case,
# ranked as by the frequency list of the project zxcvbn; each as the first bytes of its SHA-256: many are slurs.
COMMON_FILE = Path(__file__).with_name("common_passwords.bin")
COMMON_BYTES = 5
# What the leaks of the West do not rank, and what a kiosk invites.
_INVITED = frozenset(
    """
    66666666 88888888 12341234 147258369 0987654321 woaini1314 woaini520 5201314520 a12345678 aa123456 wang1234
    china123 vending1 vending123 vendingmachine kiosk123 kioskkiosk machine1 technician changeme default1 wechatpay
    admin123 admin1234 administrator letmein1 welcome1
    """.split()  # noqa: SIM905 - words in a row are easier to read and to add to than a list of literals
)


class PasswordRefused(Exception):
    """The password is not good enough; the sentence says why."""


class PasswordFileError(Exception):
    """The password file cannot be read or written; the sentence names it and says what to do."""


def hash_password(password: str) -> str:
    """The argon2id hash of a password; raises `PasswordRefused`. Takes some 50 ms: not for the event loop."""
    if len(password) < MIN_PASSWORD_CHARACTERS:
        raise PasswordRefused(f"the password must have at least {MIN_PASSWORD_CHARACTERS} characters")
    if len(password) > MAX_PASSWORD_CHARACTERS:
        raise PasswordRefused(f"the password must have at most {MAX_PASSWORD_CHARACTERS} characters")
    if _is_common(password.lower()):
        raise PasswordRefused("this password is among the first that anybody would try; choose another one")
    return _hasher().hash(password)


@cache
def _hasher() -> PasswordHasher:
    from argon2 import PasswordHasher, Type  # noqa: PLC0415 - not for the first picture: loaded at the first log-in

    # OWASP's smallest recommendation for argon2id: 19 MiB, two passes, one lane. It fits a board with 512 MiB that
    # paints a screen beside it, and costs a guesser some 50 ms a try.
    return PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1, type=Type.ID)


def _is_common(password: str) -> bool:
    digests = COMMON_FILE.read_bytes()
    known = {digests[at : at + COMMON_BYTES] for at in range(0, len(digests), COMMON_BYTES)}
    digest = hashlib.sha256(password.encode()).digest()[:COMMON_BYTES]
    return digest in known or password in _INVITED or len(set(password)) == 1


def verify(password_hash: str, password: str) -> bool:
    """Whether the password is the one that was hashed. Takes tens of milliseconds: not for the event loop."""
    if len(password) > MAX_PASSWORD_CHARACTERS:
        return False
    from argon2.exceptions import InvalidHashError, VerificationError  # noqa: PLC0415 - see `_hasher`

    try:
        return _hasher().verify(password_hash, password)
    except (VerificationError, InvalidHashError):
        return False


def set_password(file: Path, password: str) -> None:
    """Replace the file atomically by the password's hash, mode 0600; raises `PasswordRefused`, `PasswordFileError`.

    Whoever owned the file (or, if there was none, owns its folder) owns it afterwards, so that `sudo kiosk
    set-password` does not lock out the user that the machine runs as.
    """
    password_hash = hash_password(password)
    try:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        owner = (file if file.exists() else file.parent).stat()
        with tempfile.NamedTemporaryFile("w", dir=file.parent, prefix=f".{file.name}-", delete=False) as new:
            try:  # the temporary file is 0600 from its creation on
                new.write(password_hash + "\n")
                new.flush()
                if os.geteuid() == 0:
                    os.fchown(new.fileno(), owner.st_uid, owner.st_gid)
                os.fsync(new.fileno())
                Path(new.name).replace(file)
            except BaseException:
                Path(new.name).unlink(missing_ok=True)
                raise
    except OSError as error:
        raise PasswordFileError(f"{file}: the password cannot be written: {error.strerror}") from error


def load_hash(file: Path) -> str | None:
    """The hash in the file; None if no password has been set. Raises `PasswordFileError`."""
    try:
        with file.open("rb") as opened:
            content = opened.read(MAX_HASH_BYTES)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise PasswordFileError(f"{file}: the password cannot be read: {error.strerror}") from error
    password_hash = content.decode("ascii", errors="replace").strip()
    if not password_hash.startswith("$argon2id$"):
        raise PasswordFileError(f"{file}: holds no password; set one with `kiosk set-password`")
    return password_hash
