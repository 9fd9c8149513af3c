"""How wrong logits are: one table of terms (table), each a function of sums over valid pixels."""
