"""DECIDE: which version serves which unit, and what happens next."""
