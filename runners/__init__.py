"""ISOLATE: models that are not compiled, each in a process and an environment of its own."""
