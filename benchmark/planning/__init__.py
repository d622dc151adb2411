"""Turns a configuration into a grid of jobs with identities and costs; runs none of the jobs."""
