"""What is wrong with a client's reports: one detector a file, each a decision on values."""
