"""The parts of the main window, one per file."""
