"""Presets: configurations with a name, one YAML file each."""
