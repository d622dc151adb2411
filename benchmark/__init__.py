"""A benchmark of defenses for deep metric learning under attacks made for clustering and retrieval."""
