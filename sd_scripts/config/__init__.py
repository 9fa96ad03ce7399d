"""Settings: one declaration a parameter, from which form, flags, files, checks and docs follow. Imports no torch."""
