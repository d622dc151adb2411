"""Analyses of finished runs that a table of the report does not hold; each is a command of its own."""
