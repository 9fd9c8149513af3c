"""Miniatures of competitions' files: their exact names, types and tables, with synthetic content.

In: a folder, a count, a seed. Out: files as the organisers gave them. `table.py` is the door. May import core, and
the scenes of data.synthetic.
"""
