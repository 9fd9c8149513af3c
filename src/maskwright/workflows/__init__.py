"""The recipes' verbs that need several rooms: sessions, stages, the whole run, the demo.

In: a recipe, a run folder, a reporter. Out: finished stages in the run folder.
May import every room but cli; only cli imports it.
"""
