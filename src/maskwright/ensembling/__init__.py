"""Probabilities of several members become one answer, chosen on pixels that no model saw.

In: stored out-of-fold probabilities and labels. Out: a Decision with its evidence; blended answers.
May import core, scoring, data.folds and inference.store; never torch. Only workflows imports it.
"""
