"""k-diffusion's networks and samplers as parts of ambientkit. Importing this package does not import k_diffusion."""
