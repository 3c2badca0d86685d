"""The ``solvent`` command: one file for each family of subcommands. Only here are arguments and environment read."""
