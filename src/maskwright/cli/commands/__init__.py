"""One module per group of verbs; each function reads its options and makes one call into workflows."""
