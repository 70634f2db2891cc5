"""How verdicts are taken back, and what they had replaced counts again."""
