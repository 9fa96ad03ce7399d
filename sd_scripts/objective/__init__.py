"""What the network is asked to predict, and how its error is measured: pure functions and the object that ties them.

Shapes: B batch, C latent channels, H and W latent rows and columns. Symbols: a = cumulative alpha at t (written
abar in DDPM), snr = a / (1 - a), t = timestep.
"""

from .objective import Noisy, Objective

__all__ = ["Noisy", "Objective"]
