"""Words that findings about many items share."""

from __future__ import annotations

from collections.abc import Sequence


def keys_in_words(keys: Sequence[str], most: int = 3) -> str:
    """Name some items, and say how many there are.

    Args:
        keys: at least one.
        most: so many are named.
    """
    named = ", ".join(f"'{key}'" for key in keys[:most])
    return named if len(keys) <= most else f"{len(keys)} items ({named}, ...)"
