"""COMPILE: a fitted model -> runtimes proven equal to it. Used where models are made, never in a serving worker."""
