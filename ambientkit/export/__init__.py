"""A trained network for others: files of other libraries, and the model card."""

from ambientkit.export.card import Card, WrittenCard, renew_card, write_card
from ambientkit.export.write import Exported, export, forms

__all__ = ["Card", "Exported", "WrittenCard", "export", "forms", "renew_card", "write_card"]
