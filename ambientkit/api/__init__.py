"""The public functions, and the object that they share."""
