"""The pages: widgets, a selection, drawing."""
