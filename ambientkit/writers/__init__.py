"""Results as files like those that rows were read from: same axes and metadata, written by each format's own
library."""
