"""Time-based one-time passwords (RFC 6238) as a second factor, and spare codes for a lost phone."""

from __future__ import annotations

import hashlib
import re
import secrets
import time
from typing import Any

import pyotp
import segno
from django.utils import timezone

from console.models import SecondFactor

STEP_SECONDS = 30
DRIFT_STEPS = 1
SPARE_CODES = 8
ISSUER = "claudeapi"
# What an app shows, or a spare one.
CODE = re.compile(r"[0-9]{6}|[0-9]{8}")


def of(user: Any) -> SecondFactor | None:
    """The second factor that somebody is asked for, or None."""
    factor = any_of(user)
    return factor if factor is not None and factor.confirmed_at is not None else None


def any_of(user: Any) -> SecondFactor | None:
    """Somebody's second factor, confirmed or not."""
    return SecondFactor.objects.filter(user_id=user.pk).select_related("user").first()


def begin(user: Any) -> SecondFactor:
    """A new secret for somebody, not asked for until it is confirmed."""
    factor, _ = SecondFactor.objects.update_or_create(
        user=user,
        defaults={
            "secret": pyotp.random_base32(),
            "confirmed_at": None,
            "last_step": 0,
            "spare_codes": [],
        },
    )
    return factor


def confirm(factor: SecondFactor, code: str) -> list[str] | None:
    """Ask for it from now on, if the code is right; the spare codes, shown once, or None."""
    if not _accept_step(factor, _digits(code)):
        return None
    spare = [f"{secrets.randbelow(10**8):08d}" for _ in range(SPARE_CODES)]
    SecondFactor.objects.filter(pk=factor.pk).update(
        confirmed_at=timezone.now(), spare_codes=[_digest(factor, code) for code in spare]
    )
    return spare


def accepts(factor: SecondFactor, code: str) -> bool:
    """Whether the code is right, now and for the first time."""
    code = _digits(code)
    return bool(code) and (_accept_step(factor, code) or _accept_spare(factor, code))


def _digits(code: str) -> str:
    code = "".join(code.split())
    return code if CODE.fullmatch(code) else ""


def _accept_step(factor: SecondFactor, code: str) -> bool:
    now = int(time.time()) // STEP_SECONDS
    totp = pyotp.TOTP(factor.secret)
    for step in range(now - DRIFT_STEPS, now + DRIFT_STEPS + 1):
        if secrets.compare_digest(totp.generate_otp(step), code):
            # Won by row count: of two who use one code, one gets in.
            fresh = SecondFactor.objects.filter(pk=factor.pk, last_step__lt=step)
            return fresh.update(last_step=step) == 1
    return False


def _accept_spare(factor: SecondFactor, code: str) -> bool:
    left = [digest for digest in factor.spare_codes if digest != _digest(factor, code)]
    if len(left) == len(factor.spare_codes):
        return False
    mine = SecondFactor.objects.filter(pk=factor.pk, spare_codes=factor.spare_codes)
    return mine.update(spare_codes=left) == 1


def _digest(factor: SecondFactor, code: str) -> str:
    return hashlib.sha256(f"{factor.secret}:{code}".encode()).hexdigest()


def address(factor: SecondFactor) -> str:
    """The `otpauth:` address that an authenticator app takes."""
    name = factor.user.get_username()
    return pyotp.TOTP(factor.secret).provisioning_uri(name=name, issuer_name=ISSUER)


def picture(factor: SecondFactor) -> str:
    """The same as a QR code: an SVG element, without inline styles."""
    return str(
        segno.make(address(factor), error="m").svg_inline(
            scale=5,
            border=4,
            dark="#000",
            light="#fff",
            omitsize=True,
            svgclass="qr",
            lineclass=None,
        )
    )
