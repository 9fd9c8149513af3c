"""From a fold's images and masks to its weights: losses, optimiser, schedule, the loop, crash-safe state.

In: a `FoldJob`. Out: a folder with weights, history, log and, until it is done, the state to go on from.
Imports core, scoring, data and models; never inference. accelerate lives here and nowhere else.
"""
