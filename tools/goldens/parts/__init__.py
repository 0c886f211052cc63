"""What the reference libraries compute, one subject per module."""
