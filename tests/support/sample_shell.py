"""`python -m tests.support.sample_shell sample ...`: the command line in a process of its own, with the parts of the
tests."""

from __future__ import annotations

import ambientkit.registry
from ambientkit.cli import main
from tests.support.sampling import registry

if __name__ == "__main__":
    ambientkit.registry.environment = registry
    main()
