"""The Python interface; its functions and classes are imported from `benchmark` itself."""
