"""Plugins: files and installed packages that register defenses, attacks, data sets and more."""
