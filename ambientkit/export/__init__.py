"""A trained network for others: files of other libraries, and the model card."""
