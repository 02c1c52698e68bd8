"""The pages, one module for each: read the choices, ask the queue for class maps, draw."""
