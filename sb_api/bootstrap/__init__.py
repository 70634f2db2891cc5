"""Original weights: made from data, measured, brought in and out."""
