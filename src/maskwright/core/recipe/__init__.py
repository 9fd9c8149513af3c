"""The recipe: typed, frozen blocks (blocks, members) and the way from YAML to them (load)."""
