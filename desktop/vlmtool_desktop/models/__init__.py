"""What lists and grids show."""
