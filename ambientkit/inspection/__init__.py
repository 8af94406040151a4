"""What a data set holds, and whether its noise is what the mathematics takes it for: white, Gaussian, of the declared level."""
