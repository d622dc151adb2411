"""Data sets: images in [0, 1], training classes disjoint from test classes."""
