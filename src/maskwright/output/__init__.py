"""An answer becomes the files somebody asked for: masks, submissions, the report page.

In: label arrays, output blocks of the recipe, plain facts of a run. Out: whole files, never partial ones.
Imports core, scoring and inference.store only; workflows and cli import it. Never torch.
"""
