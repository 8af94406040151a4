"""What the values of a file mean, and the way back."""
