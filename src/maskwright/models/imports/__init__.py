"""Checkpoints of other projects, read without running anything in them, renamed, and written as our own weights.

In: .pth, .pt or .safetensors files, a model block. Out: a filled SegModel and a map report. workflows may import it.
"""
