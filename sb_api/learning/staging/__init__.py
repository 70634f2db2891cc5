"""Weights that are staged beside the current ones: kept, compared where labels are known, and promoted."""
