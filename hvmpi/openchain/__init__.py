"""The open chain: generation, simulation, digitization and reconstruction with parts from PyPI."""
