"""Entries of data.derived: channels that are made of bands, checked before the block is built."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field

from maskwright.core.errors import near

NAME = r"^[A-Za-z][A-Za-z0-9_]{0,39}$"
BandName = Annotated[str, Field(pattern=NAME)]
"""Name of a band, as formulas can hold it."""
EXAMPLE = "write [means, {ndvi: (nir - red) / (nir + red)}]"


def check_derived(given: Any) -> Any:
    """Refuse what is neither `means` nor a mapping of names to formulas, entry by entry.

    Raises:
        ValueError: says which entry, and what it should be.
    """
    if not isinstance(given, list | tuple):
        raise ValueError(f"is a list of means and formulas, got {given!r:.60}; {EXAMPLE}")
    for place, entry in enumerate(given, start=1):
        if isinstance(entry, Mapping):
            _check_formulas(entry, place)
        elif entry != "means":
            hint = near(entry, ["means"]) if isinstance(entry, str) else ""
            raise ValueError(f"entry {place} is {entry!r:.60}{hint}, neither means nor {{name: formula}}; {EXAMPLE}")
    return given


def _check_formulas(entry: Mapping[Any, Any], place: int) -> None:
    if not entry:
        raise ValueError(f"entry {place} is empty; {EXAMPLE}")
    for name, text in entry.items():
        if not isinstance(name, str) or re.match(NAME, name) is None:
            what = f"entry {place} calls a channel {name!r:.60}, and names are a letter, then letters, digits and _"
            raise ValueError(f"{what}; {EXAMPLE}")
        if not isinstance(text, str):
            raise ValueError(f"entry {place}: the formula of {name} is {text!r:.60}, not text; {EXAMPLE}")
