"""What the training loop is made of: its optimizer, and the rows that its steps are given."""
