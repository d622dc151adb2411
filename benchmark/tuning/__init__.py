"""Tuning: the same number of trials for each defense, scored on classes held out of the training classes."""
