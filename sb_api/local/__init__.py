"""Judging without a service: weights of a directory or of a Redis, in the process that asks or in its own."""
