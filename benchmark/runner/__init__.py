"""Grid, jobs, executor and store: from a configuration to records on disk."""
