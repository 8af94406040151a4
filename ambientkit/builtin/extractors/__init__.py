"""Built-in extractors: the features in which `ambientkit evaluate` compares two sets of rows."""
