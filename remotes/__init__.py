"""CALL: servers of others, called over their protocols."""
