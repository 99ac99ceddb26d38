"""Pictures too large to be decoded whole: read part by part, at the size that is looked at."""
