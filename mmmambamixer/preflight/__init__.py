"""What can be wrong with a run before its first iteration."""
