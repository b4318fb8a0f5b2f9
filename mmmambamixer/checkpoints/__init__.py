"""The checkpoint file: plain data, digests, loading, comparison with a model."""
