"""The verbs of the command line, one a module: its arguments and its main."""
