"""Which member starts from the weights of which: clashes, and the order they are trained in."""

from __future__ import annotations

from maskwright.core.errors import near
from maskwright.core.recipe.members import Member


def stage_clashes(members: dict[str, Member]) -> list[str]:
    """List members that cannot start from the weights of the one they name."""
    found = []
    for name, member in members.items():
        where, other = f"members.{name}.model.weights.member", member.model.other
        if other is None:
            continue
        if other not in members:
            known = ", ".join(each for each in members if each != name)
            found.append(f"{where}: unknown member '{other}'{near(other, members)}; use one of: {known}")
            continue
        first = members[other].model
        for key in ("architecture", "encoder", "options"):
            if getattr(first, key) != getattr(member.model, key):
                was, now = getattr(first, key), getattr(member.model, key)
                found.append(f"{where}: {key} of {other} is {was}, of {name} {now}; weights need the same network")
        chain = [name]
        while (before := members[chain[-1]].model.other) in members and before not in chain:
            chain.append(str(before))
        if before == name:
            found.append(f"{where}: {' from '.join([*chain, name])} is a circle; let one of them start otherwise")
    return found


def stages_of(members: dict[str, Member]) -> list[str]:
    """Return the members' names in an order in which each comes after the one whose weights it starts from."""
    ordered: list[str] = []
    for name in members:
        chain = [name]
        while (before := members[chain[-1]].model.other) is not None and before not in ordered:
            chain.append(before)
        ordered += [each for each in reversed(chain) if each not in ordered]
    return ordered
