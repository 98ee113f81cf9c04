"""Monte Carlo of hidden-valley models over MPI, from the generator to training files."""

__version__ = "0.1.0"
