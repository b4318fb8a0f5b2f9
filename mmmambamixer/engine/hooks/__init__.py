"""Hooks of a run: checkpoints, replay, finite numbers, interruption, strict loading."""
