"""Results of long work, one line for each item, that survive kill -9: what is there is not done again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from maskwright.core.errors import from_os_error
from maskwright.core.files import write_text


class Journal:
    """A file of JSON lines, the first of which says what the results were made from.

    A line that a killed process left unfinished is dropped; a file of other inputs is begun anew.

    Args:
        path: the file.
        inputs: digest of everything the results depend on.
    """

    def __init__(self, path: Path, inputs: str) -> None:
        self.path = path
        self.found: dict[str, Any] = {}
        lines = self._lines(inputs)
        text = "\n".join([json.dumps({"inputs": inputs}), *lines]) + "\n"
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            write_text(path, text)

    def _lines(self, inputs: str) -> list[str]:
        """Return the whole lines of an older file of the same inputs, and remember their results."""
        if not self.path.exists():
            return []
        first, *rest = self.path.read_text(encoding="utf-8", errors="replace").split("\n")
        kept = []
        try:
            if json.loads(first) != {"inputs": inputs}:
                return []
            for line in rest:
                key, result = json.loads(line)
                self.found[key] = result
                kept.append(line)
        except (ValueError, TypeError):
            pass  # the last line, whole or torn: what comes after the last whole one is made again
        return kept

    def add(self, key: str, result: Any) -> None:
        """Write one result."""
        self.found[key] = result
        try:
            with self.path.open("a", encoding="utf-8") as stream:
                stream.write(json.dumps([key, result]) + "\n")
        except OSError as error:
            raise from_os_error(error, self.path) from error
