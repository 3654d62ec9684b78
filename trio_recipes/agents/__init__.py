"""What answers agent steps: backends, and the configuration that says which agent is answered by which."""
