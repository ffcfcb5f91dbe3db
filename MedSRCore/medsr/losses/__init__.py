"""What a training makes small, one subject per file."""
