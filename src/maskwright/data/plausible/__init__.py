"""Whether labels can be those of their images, and whether test looks like train: doubts, said before training.

In: what the pass of the audit wrote down of each item. Out: findings, and a Shift. Doors: `plausible.py`, `shift.py`.
May import core and findings; the audit imports it.
"""
