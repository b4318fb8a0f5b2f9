"""Digits as a hand draws them: strokes of points, in parts of the pad."""

import math


def arc(x, y, across, down, start, end, points=16):
    """Points of an ellipse; angles in turns, from the right, clockwise as seen."""
    turns = (start + (end - start) * i / points for i in range(points + 1))
    return [
        (x + across * math.cos(2 * math.pi * t), y + down * math.sin(2 * math.pi * t))
        for t in turns
    ]


STROKES = [
    [arc(0.5, 0.5, 0.2, 0.34, 0.75, -0.25)],
    [[(0.36, 0.32), (0.54, 0.15), (0.54, 0.85)]],
    [[*arc(0.5, 0.33, 0.2, 0.18, 0.5, 1.1), (0.3, 0.83), (0.72, 0.83)]],
    [arc(0.48, 0.32, 0.18, 0.17, 0.6, 1.22) + arc(0.48, 0.66, 0.21, 0.19, 0.8, 1.4)],
    [[(0.45, 0.14), (0.28, 0.58), (0.75, 0.58)], [(0.6, 0.4), (0.56, 0.88)]],
    [[(0.7, 0.15), (0.38, 0.15), (0.36, 0.45), *arc(0.47, 0.63, 0.21, 0.2, 0.7, 1.4)]],
    [[(0.58, 0.14), (0.36, 0.45), *arc(0.5, 0.66, 0.18, 0.18, 0.5, -0.5)]],
    [[(0.3, 0.16), (0.7, 0.16), (0.46, 0.86)], [(0.38, 0.52), (0.66, 0.52)]],
    [arc(0.5, 0.32, 0.14, 0.16, 0.25, 1.25) + arc(0.5, 0.66, 0.17, 0.18, 0.75, -0.25)],
    [[*arc(0.5, 0.33, 0.17, 0.17, 0, 1), (0.66, 0.6), (0.5, 0.86), (0.34, 0.84)]],
]
