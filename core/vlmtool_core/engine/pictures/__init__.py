"""From frames to a network's input, and from its output back to pixels of the source."""
