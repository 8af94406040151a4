"""The parts that come with ambientkit, one idea a file. They register through the same hooks as everybody else's."""
