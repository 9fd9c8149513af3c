"""The base of all recipe blocks: frozen, and unknown keys are refused with the nearest name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, model_validator
from pydantic_core import PydanticCustomError

from maskwright.core.errors import near


class Block(BaseModel):
    """A frozen table of settings in which a misspelt key cannot hide."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _known_keys(cls, given: Any) -> Any:
        if isinstance(given, Mapping):
            for key in given:
                if key not in cls.model_fields:
                    raise PydanticCustomError(
                        "unknown_key",
                        "unknown key '{key}'{hint}; use one of: {names}",
                        {
                            "key": str(key),
                            "hint": near(str(key), cls.model_fields),
                            "names": ", ".join(sorted(cls.model_fields)),
                        },
                    )
        return given
