"""What happens when the user acts, one topic per file."""
