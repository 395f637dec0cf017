"""The password of the technician's page."""

from __future__ import annotations

from pathlib import Path

import pytest

from kiosk.web.password import (
    COMMON_BYTES,
    COMMON_FILE,
    PasswordFileError,
    PasswordRefused,
    hash_password,
    load_hash,
    set_password,
    verify,
)

GOOD = "正确 horse battery"


def test_only_the_password_itself_is_believed(tmp_path: Path) -> None:
    """What was set is verified; anything else is not."""
    file = tmp_path / "secrets" / "web_password"
    set_password(file, GOOD)
    stored = load_hash(file)
    assert stored is not None
    assert verify(stored, GOOD)
    for other in ("", GOOD + " ", GOOD.upper(), "x" * 100_000):
        assert not verify(stored, other)


def test_the_file_is_for_its_owner_only_and_holds_an_argon2id_hash(tmp_path: Path) -> None:
    """Mode 0600, in a folder that is 0700 if it had to be made, and nothing else is left behind."""
    file = tmp_path / "secrets" / "web_password"
    set_password(file, GOOD)
    assert file.stat().st_mode & 0o777 == 0o600
    assert file.parent.stat().st_mode & 0o777 == 0o700
    assert file.read_text().startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert [entry.name for entry in file.parent.iterdir()] == ["web_password"]


def test_a_new_password_takes_the_place_of_the_old_one(tmp_path: Path) -> None:
    """Setting it again replaces it, and a file that others could read becomes the owner's alone."""
    file = tmp_path / "web_password"
    file.write_text("whatever")
    file.chmod(0o644)
    set_password(file, GOOD)
    set_password(file, "another good one")
    stored = load_hash(file)
    assert stored is not None
    assert verify(stored, "another good one")
    assert not verify(stored, GOOD)
    assert file.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("password", "why"),
    [
        ("", "at least 8"),
        ("1234567", "at least 8"),
        ("12345678", "first that anybody"),
        ("Password123", "first that anybody"),
        ("zzzzzzzzzzzz", "first that anybody"),
        ("1qaz2wsx", "first that anybody"),
        ("Starwars", "first that anybody"),
        ("q1w2e3r4t5", "first that anybody"),
        ("samantha1", "first that anybody"),
        ("woaini1314", "first that anybody"),
        ("kiosk123", "first that anybody"),
        ("x" * 257, "at most 256"),
    ],
)
def test_poor_passwords_are_refused_and_change_nothing(tmp_path: Path, password: str, why: str) -> None:
    """Too short, too long or common: a sentence, and the old password stays."""
    file = tmp_path / "web_password"
    set_password(file, GOOD)
    before = file.read_text()
    with pytest.raises(PasswordRefused, match=why):
        set_password(file, password)
    assert file.read_text() == before


def test_no_file_means_no_password(tmp_path: Path) -> None:
    """There is no default password."""
    assert load_hash(tmp_path / "web_password") is None


def test_a_file_with_something_else_is_told(tmp_path: Path) -> None:
    """A password written in clear into the file is no password, and the sentence says what to do."""
    file = tmp_path / "web_password"
    file.write_text(GOOD)
    with pytest.raises(PasswordFileError, match="set one with `kiosk set-password`") as caught:
        load_hash(file)
    assert GOOD not in str(caught.value)


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    """A path below a file is answered by a sentence."""
    (tmp_path / "file").write_text("")
    with pytest.raises(PasswordFileError, match="web_password: the password cannot be written"):
        set_password(tmp_path / "file" / "web_password", GOOD)


def test_a_broken_hash_verifies_nothing() -> None:
    """A hash that was cut short lets nobody in."""
    assert not verify(hash_password(GOOD)[:40], GOOD)


def test_three_thousand_common_passwords_are_known() -> None:
    """As many as ASVS asks for, each once."""
    digests = COMMON_FILE.read_bytes()
    each = {digests[at : at + COMMON_BYTES] for at in range(0, len(digests), COMMON_BYTES)}

    assert (3000, 3000 * COMMON_BYTES) == (len(each), len(digests))
