"""KEEP: where local state lives, how databases are opened, and how their tables come and change."""
