"""Volumes: NIfTI files, stacks of slices, and the planes through them."""
