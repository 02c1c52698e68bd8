"""The command line: a module for each command, and what all commands share."""
