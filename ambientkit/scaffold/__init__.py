"""A new plug-in package, ready to be changed: `ambientkit new-plugin`."""

from ambientkit.scaffold.write import KINDS, NewPlugin, new_plugin

__all__ = ["KINDS", "NewPlugin", "new_plugin"]
