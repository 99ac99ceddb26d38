"""Recorded video: frames by presentation time, exact seeking, damage."""
