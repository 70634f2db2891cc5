"""The OpenAPI document: what is said of each call, and what becomes of that."""
