"""Jobs: what a worker does. A training makes a model, an attack makes cells; each writes its own records."""
