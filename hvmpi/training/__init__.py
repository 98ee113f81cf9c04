"""Training files: variables of calorimeter jets, their merge, and a first network."""
