"""STORE: model versions, the aliases that point at them, and the gates on the way there."""
