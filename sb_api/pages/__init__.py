"""The moderators' web page, with its templates and assets."""
