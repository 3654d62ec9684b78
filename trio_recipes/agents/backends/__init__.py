"""What answers agent steps, one kind a file."""
