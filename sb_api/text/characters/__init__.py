"""Single characters: what they may need, what they look like, their script, and what they are composed of."""
