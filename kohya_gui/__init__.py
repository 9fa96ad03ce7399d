"""The web app around the training engine. Nothing in here imports torch."""
