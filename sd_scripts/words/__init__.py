"""New words for text encoders: their tokens, their vectors, their files."""
