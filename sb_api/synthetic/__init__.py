"""Made-up editors and messages."""
