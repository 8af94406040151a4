"""The mathematics of ambientkit, on torch alone. Everything is variance exploding: x_t = x_0 + sigma_t z."""
