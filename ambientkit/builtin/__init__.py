"""The parts that come with ambientkit, one idea per file. They register through the same hooks as everybody else's."""
