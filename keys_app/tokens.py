"""The text of an API key: `capi_<id>_<secret><crc>`. Pure: importable without Django.

The id (12 base62 characters) is public and looked up; the secret carries 256 random bits in
43 base62 characters; the CRC-32 of all before it, in 6, refuses typing errors and junk before
any query. Only the SHA-256 of the whole text is ever stored.
"""

from __future__ import annotations

import hashlib
import re
import secrets
import string
import zlib
from dataclasses import dataclass, field

MARK = "capi"
ALPHABET = string.digits + string.ascii_uppercase + string.ascii_lowercase
ID_LENGTH = 12
SECRET_LENGTH = 43  # 62 ** 43 is just over 2 ** 256
CHECK_LENGTH = 6  # 62 ** 6 is over 2 ** 32

_SHAPE = re.compile(
    rf"{MARK}_([0-9A-Za-z]{{{ID_LENGTH}}})_([0-9A-Za-z]{{{SECRET_LENGTH}}})"
    rf"([0-9A-Za-z]{{{CHECK_LENGTH}}})"
)


@dataclass(frozen=True)
class Token:
    """A new key; `text` is what its owner is shown once."""

    id: str
    secret: str = field(repr=False)
    text: str = field(repr=False)


@dataclass(frozen=True)
class Parsed:
    """A text whose shape and checksum are right; nothing is said about its validity."""

    id: str
    secret: str = field(repr=False)


def mint(public_id: str | None = None) -> Token:
    """A new random token, under the id given (a rotation) or a new one."""
    public_id = public_id or "".join(secrets.choice(ALPHABET) for _ in range(ID_LENGTH))
    secret = _base62(secrets.randbits(256), SECRET_LENGTH)
    body = f"{MARK}_{public_id}_{secret}"
    return Token(public_id, secret, body + _check(body))


def parse(text: str) -> Parsed | None:
    """The parts of a well-formed token, or None for anything else."""
    match = _SHAPE.fullmatch(text)
    if match is None or _check(text[:-CHECK_LENGTH]) != match[3]:
        return None
    return Parsed(match[1], match[2])


def digest(text: str) -> str:
    """The SHA-256 of a key's whole text, in hex: what is stored and compared."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _check(body: str) -> str:
    return _base62(zlib.crc32(body.encode()), CHECK_LENGTH)


def _base62(number: int, width: int) -> str:
    digits: list[str] = []
    for _ in range(width):
        number, digit = divmod(number, len(ALPHABET))
        digits.append(ALPHABET[digit])
    return "".join(reversed(digits))
