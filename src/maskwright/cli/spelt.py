"""How a verb with many options keeps them in a dataclass, and the command line reads them one by one."""

from __future__ import annotations

from collections.abc import Callable
from inspect import Parameter, Signature, signature


def spell_out(verb: Callable[..., None], *blocks: type) -> None:
    """Give a verb that takes `**options` the fields of dataclasses as parameters of its own.

    Args:
        verb: a function with annotated parameters; changed.
        blocks: dataclasses whose fields are annotated as options and have defaults.
    """
    given = signature(verb, eval_str=True).parameters.values()
    named = [one for one in given if one.kind is not Parameter.VAR_KEYWORD]
    more = [one for block in blocks for one in signature(block, eval_str=True).parameters.values()]
    verb.__signature__ = Signature([*named, *more])  # type: ignore[attr-defined]
