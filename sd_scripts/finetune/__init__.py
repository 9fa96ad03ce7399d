"""The tools under the names by which people call them."""
