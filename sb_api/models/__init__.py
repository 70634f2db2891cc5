"""The classifiers: networks, engines, scores, weights files."""
