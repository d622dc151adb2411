"""From a configuration to the grid of its jobs, their identities and their cost; runs none of them."""
