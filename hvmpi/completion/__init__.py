"""What shells complete: the arguments of every verb, and the scripts that know them."""
