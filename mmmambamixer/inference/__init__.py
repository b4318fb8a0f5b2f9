"""What `tools/predict.py` does for each framework: results as files and pictures.

`images` finds and reads, `model` loads and runs, `sheet` draws an overview;
`classification`, `detection` and `segmentation` write what a task predicts.
"""
