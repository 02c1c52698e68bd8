"""The lesson: its text read from Markdown, the state behind its figures, one module a step."""
