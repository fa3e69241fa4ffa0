"""RESCORE: what was served, scored again: the replay gate, and the reproduction of one decision."""
