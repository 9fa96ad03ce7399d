"""What runs a training: the loop and everything around it."""
