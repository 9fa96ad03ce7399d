"""Tables of names: how the same tensors are called in other programs' files."""
