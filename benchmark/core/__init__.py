"""The ground floor: errors, registry, specs, seeding and the embedder interface."""
