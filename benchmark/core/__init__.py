"""What every other package builds on: errors, registry, specs, seeding and the embedder interface."""
