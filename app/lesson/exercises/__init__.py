"""The exercises of the lesson: what is asked, how answers are judged, and the score to hand in."""
