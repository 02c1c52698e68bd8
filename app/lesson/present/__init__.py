"""The lesson as slides: their text, their own figures, the screen and the speaker notes."""
