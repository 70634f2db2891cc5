"""What explanations draw on besides the network."""
