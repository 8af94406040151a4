"""diffusers' U-Net as a model of ambientkit, and the way back to diffusers. Importing this package does not import
diffusers."""
