"""What holds for every test."""

from __future__ import annotations

from hypothesis import settings

# A slow machine is no failing law: what a test may take is pytest's `timeout`.
settings.register_profile("house", deadline=None)
settings.load_profile("house")
