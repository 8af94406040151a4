"""In what two rows are near."""
