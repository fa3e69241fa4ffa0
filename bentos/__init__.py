"""SPEAK: the BentoML services, the wire protocols, and the one table from errors to statuses."""
