"""The picture with what is drawn over it."""
