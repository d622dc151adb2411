"""What a run shows of itself: a live view on a terminal, plain lines elsewhere, and the time left."""
