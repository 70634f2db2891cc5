"""Weights that are staged beside the current ones: judged by in shadow, and compared."""
