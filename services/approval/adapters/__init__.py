"""What approval talks to: MongoDB."""
