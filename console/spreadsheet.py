"""Lines of CSV that a spreadsheet shows as they are, and never runs."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable
from datetime import datetime
from typing import Any

# A spreadsheet takes a cell that begins so for a formula.
FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")


def line(values: Iterable[Any]) -> str:
    """One line, with its end."""
    return str(csv.writer(_Line()).writerow([_cell(value) for value in values]))


class _Line:
    """What the csv module writes to: it hands each line back."""

    def write(self, text: str) -> str:
        return text


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, dict):
        text = json.dumps(value, default=str)
    else:
        text = value.isoformat() if isinstance(value, datetime) else str(value)
    return f"'{text}" if text.startswith(FORMULA) else text
