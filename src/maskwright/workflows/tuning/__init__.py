"""In: a recipe and what is to be tried. Out: many trainings measured, a winning recipe, a table of differences.

board.py alone knows Optuna and the database; attempt.py alone trains. search.py and ablate.py are the two verbs.
"""
