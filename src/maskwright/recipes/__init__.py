"""Recipes that come with maskwright, as YAML files; `maskwright recipes` lists them.

In: nothing. Out: files that workflows finds by name. Holds no code.
"""
