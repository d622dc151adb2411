"""Runs planned jobs on worker processes, shows their progress, and checks the results."""
