"""What the commands share at a terminal: options, output, progress, exit codes."""
