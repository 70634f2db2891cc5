"""Redis: the job streams, replies, and what processes share."""
