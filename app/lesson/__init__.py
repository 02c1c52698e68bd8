"""The lesson: its text, its figures with one module per step, and its handout."""
