"""What intake talks to: MongoDB."""
