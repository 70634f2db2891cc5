"""What is under and around the routes of a web process."""
