"""Hostile files: every reader gets damaged inputs and must answer with a result or an `InputError`. See docs/reliability.md."""
