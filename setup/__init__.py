"""Makes the environment on first use. Only the standard library may be imported here: nothing else is installed yet."""
