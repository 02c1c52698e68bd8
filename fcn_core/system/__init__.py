"""The machine: memory, folders, files that come with the program."""
