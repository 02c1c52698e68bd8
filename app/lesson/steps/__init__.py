"""The figures of the lesson, one module per step."""
