"""What a page may spend on what takes the server's time; the rest is shown plain."""

from __future__ import annotations

from dataclasses import dataclass

CHARACTERS = 500_000
CELLS = 20_000
STEPS = 100_000_000
"""Somewhat more than the longest edit that is compared at all can take."""


@dataclass(slots=True)
class Room:
    """What is left of it: one for a whole page, or for a single text.

    Attributes:
        characters: of Markdown.
        cells: of tables: one short row can ask for hundreds.
        steps: of comparing the two sides of edits.
    """

    characters: int = CHARACTERS
    cells: int = CELLS
    steps: int = STEPS
