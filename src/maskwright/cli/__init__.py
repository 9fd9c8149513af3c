"""Words on a command line become one call: app (verbs), commands (their functions), console (what is seen).

Nothing imports cli. Rooms are imported inside the command functions, so that help needs no torch.
"""
