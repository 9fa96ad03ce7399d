"""The web app around the training engine. Nothing in here imports torch."""

import os

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")  # else Gradio calls home
