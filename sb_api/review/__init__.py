"""The review queue: accounts that wait for a moderator's verdict, sealed in Redis, and who has which of them."""
