"""Names of the UNet3+ of SEEDS 003, which are those of its authors' published code."""

from __future__ import annotations

from maskwright.models.imports.rules import Rule, Rules

LEVELS = 5
SOURCES = r"(?:PT|Cat|UT)"
"""Pooled, as it is, upsampled."""


def _encoder(level: int) -> Rules:
    return tuple(
        Rule(rf"conv{level}\.conv{conv}\.{place}\.(.*)", rf"encoder.levels.{level - 1}.{conv - 1}.{part}.\1")
        for conv in (1, 2)
        for place, part in enumerate(("conv", "norm"))
    )


def _node(level: int) -> Rules:
    """Return the rules of the decoder's map of a level: what it hears of each, and how it mixes it."""
    ours = f"decoder.nodes.{level - 1}"
    heard = tuple(
        Rule(rf"hd?{source}_{SOURCES}_hd{level}_{theirs}\.(.*)", rf"{ours}.sources.{source - 1}.{part}.\1")
        for source in range(1, LEVELS + 1)
        for theirs, part in (("conv", "conv"), ("bn", "norm"))
    )
    mixed = (
        Rule(rf"conv{level}d_1\.(.*)", rf"{ours}.fuse.conv.\1"),
        Rule(rf"bn{level}d_1\.(.*)", rf"{ours}.fuse.norm.\1"),
    )
    return (*heard, *mixed)


PLAIN: Rules = tuple(rule for level in range(1, LEVELS + 1) for rule in _encoder(level))
UNET3PLUS: Rules = (
    *(rule for level in range(1, LEVELS) for rule in _node(level)),
    Rule(r"outconv1\.(.*)", r"segmentation_head.\1"),
)
"""Maps are counted from 1, the finest; h are the encoder's, hd the decoder's, of which the fifth is the encoder's."""
