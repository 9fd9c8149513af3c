"""Ready lists of augmentations by name; a recipe that names one is resolved to its entries."""

from __future__ import annotations

from typing import Any

Entries = tuple[dict[str, dict[str, Any]], ...]


def expand(given: Any) -> Any:
    """Turn what a recipe says under `augment` into a list of `{name: parameters}`.

    Args:
        given: a list of names, presets and `{name: parameters}`, one name alone, or none.

    Returns:
        the list as a tuple; what is no list and no name comes back as it is, for the block to refuse.
    """
    if isinstance(given, str):
        given = [] if given == "none" else [given]
    if not isinstance(given, list | tuple):
        return given
    found: list[Any] = []
    for entry in given:
        if isinstance(entry, str):
            found += PRESETS.get(entry, ({entry: {}},))
        elif isinstance(entry, dict):
            found.append({name: {} if params is None else params for name, params in entry.items()})
        else:
            found.append(entry)
    return tuple(found)


PRESETS: dict[str, Entries] = {
    "light": (
        {"hflip": {}},
        {"scale_crop": {"scale": [0.8, 1.25]}},
        {"brightness_contrast": {"brightness": 0.15, "contrast": 0.15}},
    ),
    "strong": (
        {"hflip": {}},
        {"scale_crop": {"scale": [0.5, 2.0]}},
        {"rotate": {"limit": 10, "p": 0.3}},
        {"photometric_distortion": {"p": 0.8}},
        {"one_of": {"of": [{"blur": {}}, {"motion_blur": {}}, {"noise": {}}], "p": 0.2}},
        {"coarse_dropout": {"p": 0.2}},
    ),
    "aerial": (
        {"d4": {}},
        {"scale_crop": {"scale": [0.7, 1.4]}},
        {"rotate": {"limit": 45, "p": 0.3}},
        {"brightness_contrast": {"brightness": 0.2, "contrast": 0.2}},
        {"rgb_shift": {"limit": 0.06, "p": 0.3}},
        {"one_of": {"of": [{"blur": {}}, {"noise": {}}], "p": 0.2}},
    ),
    "xray": (
        {"hflip": {}},
        {"scale_crop": {"scale": [0.8, 1.25]}},
        {"rotate": {"limit": 10}},
        {"elastic_transform": {"alpha": 60, "sigma": 6, "p": 0.3}},
        {"brightness_contrast": {"brightness": 0.2, "contrast": 0.1, "p": 0.7}},
        {"gamma": {"p": 0.3}},
        {"one_of": {"of": [{"blur": {}}, {"median_blur": {"size": [3, 3]}}, {"noise": {}}], "p": 0.2}},
    ),
}
"""Name -> entries. What they give is measured in docs/log.md."""
