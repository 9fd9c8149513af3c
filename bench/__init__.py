"""Measurements: ours beside the peers and the floor, as ratios within one run."""
