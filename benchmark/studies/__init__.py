"""Analyses of finished runs beyond the tables of the report; each is a command of its own."""
