"""The parts of tools/benchmark_forecasting.py."""
