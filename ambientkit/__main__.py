"""`python -m ambientkit` and `torchrun -m ambientkit`: the same command line as `ambientkit`."""

from ambientkit.cli import main

if __name__ == "__main__":
    main()
