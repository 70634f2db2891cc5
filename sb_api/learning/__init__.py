"""From a verdict to promoted weights; train.py is its front door."""
