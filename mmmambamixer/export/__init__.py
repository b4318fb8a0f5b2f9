"""Trained models for other runtimes: ONNX files of standard operators."""
